"use strict";

// Names come from data: they are only ever inserted as text, never as HTML.
const figures = JSON.parse(document.getElementById("figures").textContent);

const maps = JSON.parse(document.getElementById("maps").textContent);

const settings = {
  responsive: true,
  displaylogo: false,
  // The page sends nothing: no button to upload a chart, and no server to upload it to.
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"],
  modeBarButtonsToAdd: [{ name: "Save as SVG", icon: Plotly.Icons.camera, click: save }],
};

const dark = matchMedia("(prefers-color-scheme: dark)");

// Colours of a plot's text and lines: those of the page; in print and in saved pictures, those of the light theme.
function colours(onPaper = false) {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return onPaper && dark.matches
    ? { ink: "#1e2f29", grid: "#e6ebe8", card: "#fff" }
    : { ink: of("--ink"), grid: of("--grid"), card: of("--card") };
}

function repainted(layout, { ink, grid, card }) {
  const axes = Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name));
  const painted = { ...layout, font: { ...layout.font, color: ink } };
  painted.hoverlabel = { ...layout.hoverlabel, bgcolor: card, font: { color: ink } };
  for (const name of axes) painted[name] = { ...layout[name], gridcolor: grid, zerolinecolor: grid, linecolor: grid };
  return painted;
}

// Save a picture for use in a paper: white background, legend and title.
function save(place) {
  const layout = repainted(place.layout, colours(true));
  const title = { text: place.getAttribute("aria-label").replaceAll("<", "&lt;"), font: { size: 14 } };
  const margin = { ...layout.margin, t: (layout.margin?.t ?? 0) + 40 };
  const named = place.data.some((trace) => trace.name);
  const { width, height } = place._fullLayout;
  return Plotly.downloadImage(
    { data: place.data, layout: { ...layout, title, margin, showlegend: named, paper_bgcolor: "#fff", plot_bgcolor: "#fff" } },
    { format: "svg", width, height: height + 40, filename: title.text },
  );
}

function draw(place) {
  const figure = figures[place.dataset.figure];
  // When the window is resized, Plotly forgets the layout's height and takes the place's.
  place.style.height = `${figure.layout.height}px`;
  Plotly.newPlot(place, figure.data, repainted(figure.layout, colours()), settings);
}

// Width between the margins of a portrait A4 page, and the height left below a heading, in CSS pixels.
const PAPER = 700;
const PAPER_HEIGHT = 900;

function paperWidth(place) {
  const cell = place.closest(".pair > div");
  return cell && getComputedStyle(cell).gridColumnEnd !== "-1" ? PAPER / 2 - 8 : PAPER;
}

function repaint(onPaper) {
  for (const place of document.querySelectorAll(".js-plotly-plot")) {
    const height = figures[place.dataset.figure]?.layout.height ?? MAP_HEIGHT;
    const size = onPaper
      ? { width: paperWidth(place), height: Math.min(height, PAPER_HEIGHT), autosize: false }
      : { width: undefined, height, autosize: true };
    place.style.height = `${size.height}px`;
    const layout = { ...repainted(place.layout, colours(onPaper)), ...size };
    if (place.data[0]?.type === "sankey") {
      // A relayout would animate the diagram, and print would catch it halfway.
      const { data } = place;
      Plotly.purge(place);
      Plotly.newPlot(place, data, layout, settings);
    } else {
      Plotly.relayout(place, layout);
    }
  }
}

// Colours for colour-blind readers (Okabe and Ito), with a shape for each.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#a08f00", "#6a51a3", "#8c6d4f"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "cross", "x", "star", "triangle-down", "hexagon"];
const GLYPHS = ["●", "■", "▲", "◆", "✚", "✖", "★", "▼", "⬢"];
const OTHER = "#a3b0a9";
const UNKNOWN = "#ccd5d0";
const MAP_HEIGHT = 420;

function drawMap(place) {
  const map = maps[place.dataset.map];
  const select = place.querySelector("select");
  const legend = place.querySelector(".legend");
  const planes = [...place.querySelectorAll(".plane")];
  let chosen = null;

  const names = () => [...map.ranks[select.value].names, "others", "unknown"];
  const slot = (place) => (place >= 0 ? place : names().length + (place === -1 ? -2 : -1));

  // One trace per name, so that a saved picture has a legend.
  function paint() {
    const { of } = map.ranks[select.value];
    planes.forEach((plane, number) => {
      const traces = names().map((name, position) => {
        const rows = of.flatMap((place, row) => (slot(place) === position ? [row] : []));
        const coded = position < names().length - 2;
        const faded = chosen !== null && slot(chosen) !== position;
        return {
          type: "scatter", mode: "markers", name, showlegend: rows.length > 0,
          x: rows.map((row) => map.x[number][row]), y: rows.map((row) => map.y[number][row]),
          text: rows.map((row) => map.hover[row]), hovertemplate: "%{text}<extra></extra>", opacity: faded ? 0.08 : 0.9,
          marker: {
            size: 7, line: { width: 0.5, color: "#fff" }, symbol: coded ? SYMBOLS[position] : "circle",
            color: coded ? COLOURS[position] : position === names().length - 2 ? OTHER : UNKNOWN,
          },
        };
      });
      const axis = { visible: false };
      const layout = {
        height: MAP_HEIGHT, margin: { l: 4, r: 4, t: 4, b: 4 }, hovermode: "closest", showlegend: false,
        xaxis: axis, yaxis: { visible: false, scaleanchor: "x" },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: "pan", hoverlabel: { align: "left" },
      };
      Plotly.react(plane, traces, repainted(layout, colours()), { ...settings, scrollZoom: false, displayModeBar: "hover" });
    });
  }

  function chip(text, shade, number) {
    const button = document.createElement("button");
    button.type = "button";
    const dot = document.createElement("i");
    dot.style.color = shade;
    dot.dataset.glyph = GLYPHS[number] ?? "●";
    dot.setAttribute("aria-hidden", "true");
    // Plotly needs names as escaped HTML; a button needs plain text.
    const name = document.createElement("span");
    name.textContent = new DOMParser().parseFromString(text, "text/html").body.textContent;
    button.append(dot, name);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      chosen = chosen === number ? null : number;
      for (const other of legend.children) other.setAttribute("aria-pressed", String(other === button && chosen !== null));
      paint();
    });
    legend.append(button);
  }

  function choose() {
    const { names, of, others } = map.ranks[select.value];
    chosen = null;
    legend.replaceChildren();
    names.forEach((name, number) => chip(name, COLOURS[number], number));
    if (others) chip(`${others} more`, OTHER, -1);
    if (of.includes(-2)) chip("unknown", UNKNOWN, -2);
    paint();
  }

  select.addEventListener("change", choose);
  choose();
}

function valueOf(cell) {
  if (!("value" in cell.dataset)) return cell.textContent.trim();
  return cell.dataset.value === "" ? -Infinity : Number(cell.dataset.value);
}

function sortBy(heading) {
  const table = heading.closest("table");
  const body = table.tBodies[0];
  const column = heading.cellIndex;
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const total = [...body.rows].filter((row) => row.classList.contains("total"));
  const rows = [...body.rows].filter((row) => !row.classList.contains("total"));
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one.cells[column]), valueOf(other.cells[column])];
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return descending ? -order : order;
  });
  body.append(...rows, ...total);
}

const field = (text) => (typeof text === "number" ? String(text) : '"' + text.trim().replace(/\s+/g, " ").replaceAll('"', '""') + '"');

// A cell that sorts by a number is copied as that number; the ends of an interval get columns of their own.
function fieldsOf(cell, withEnds) {
  if (cell.tagName === "TH" && cell.closest("thead")) {
    const name = cell.dataset.csv ?? cell.textContent;
    return withEnds ? [name, `${name}, low`, `${name}, high`].map(field) : [field(name)];
  }
  const numeric = "value" in cell.dataset;
  const value = numeric ? (cell.dataset.value === "" ? "" : field(Number(cell.dataset.value))) : field(cell.textContent);
  return withEnds ? [value, cell.dataset.low ?? "", cell.dataset.high ?? ""] : [value];
}

function asCsv(table) {
  const withEnds = (column) => [...table.tBodies[0].rows].some((row) => row.cells[column]?.dataset.low !== undefined);
  const ends = [...table.tHead.rows[0].cells].map((_, column) => withEnds(column));
  return [...table.rows].map((row) => [...row.cells].flatMap((cell, column) => fieldsOf(cell, ends[column])).join(",")).join("\n") + "\n";
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // A page opened from disk may not use the clipboard API.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Copying is not allowed here";
    area.remove();
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

for (const place of document.querySelectorAll("[data-figure]")) draw(place);
for (const place of document.querySelectorAll("[data-map]")) drawMap(place);
for (const table of document.querySelectorAll("table.sortable")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy as CSV";
  button.addEventListener("click", () => copy(button, asCsv(table)));
  const scroll = table.closest(".scroll");
  let bar = scroll.previousElementSibling;
  if (bar === null || !bar.classList.contains("toolbar")) {
    bar = document.createElement("div");
    bar.className = "toolbar";
    scroll.before(bar);
  }
  bar.append(button);
}
for (const heading of document.querySelectorAll("table.sortable thead th")) {
  // A button works with the keyboard as well as with the mouse.
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => sortBy(heading));
}
// What is wider than its place can be scrolled by keyboard, and says so. Widths change with the window and with opened sections.
function markScrollable(place) {
  const wide = place.scrollWidth > place.clientWidth + 1;
  place.classList.toggle("scrolls", wide && place.matches(".scroll"));
  place.classList.toggle("at-end", place.scrollLeft + place.clientWidth >= place.scrollWidth - 1);
  if (wide || place.scrollHeight > place.clientHeight + 1) {
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", place.closest("section")?.querySelector("h2")?.textContent ?? "Table");
  } else {
    for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
  }
}

const sizes = new ResizeObserver((entries) => { for (const entry of entries) markScrollable(entry.target.closest(".scroll, pre")); });
for (const place of document.querySelectorAll(".scroll, pre")) {
  if (place.matches(".scroll")) {
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = "Scroll sideways to see the rest →";
    place.prepend(hint);
  }
  place.addEventListener("scroll", () => markScrollable(place), { passive: true });
  for (const one of [place, ...place.querySelectorAll("table")]) sizes.observe(one);
}
// Plots in collapsed sections have no width until they are opened.
for (const folded of document.querySelectorAll("details")) {
  folded.addEventListener("toggle", () => {
    if (folded.open) for (const place of folded.querySelectorAll(".js-plotly-plot")) Plotly.Plots.resize(place);
  });
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy).textContent));
}

// Print shows collapsed sections, in the colours of the light theme.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
  repaint(true);
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
  repaint(false);
});
dark.addEventListener("change", () => repaint(false));
