"use strict";

// Names come from data: they are read from the page as text and only ever written as text.
const figures = JSON.parse(document.getElementById("figures").textContent);

const maps = JSON.parse(document.getElementById("maps").textContent);

const settings = {
  responsive: true,
  displaylogo: false,
  // Nothing leaves this page: no button that uploads a chart, and no address to upload it to.
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d"],
  // What is saved can stand in a paper.
  toImageButtonOptions: { format: "svg" },
};

function draw(place) {
  const figure = figures[place.dataset.figure];
  Plotly.newPlot(place, figure.data, figure.layout, settings);
}

const COLOURS = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#ff9da7", "#9c755f"];
const OTHER = "#c3cec8";
const UNKNOWN = "#e9eeeb";

function drawMap(place) {
  const map = maps[place.dataset.map];
  const select = place.querySelector("select");
  const legend = place.querySelector(".legend");
  const planes = [...place.querySelectorAll(".plane")];
  let chosen = null;

  planes.forEach((plane, number) => {
    const axis = { visible: false };
    const marks = {
      type: "scatter", mode: "markers", x: map.x[number], y: map.y[number], text: map.hover,
      hovertemplate: "%{text}<extra></extra>", marker: { size: 6, line: { width: 0.5, color: "#fff" } },
    };
    const layout = {
      height: 420, margin: { l: 4, r: 4, t: 4, b: 4 }, hovermode: "closest", showlegend: false,
      xaxis: axis, yaxis: { visible: false, scaleanchor: "x" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: "pan",
      hoverlabel: { align: "left", bgcolor: "#fff", font: { color: "#1e2f29" } },
    };
    Plotly.newPlot(plane, [marks], layout, { ...settings, scrollZoom: false, displayModeBar: "hover" });
  });

  function colour() {
    const { of } = map.ranks[select.value];
    const colours = of.map((place) => (place >= 0 ? COLOURS[place] : place === -1 ? OTHER : UNKNOWN));
    const opacity = of.map((place) => (chosen === null || place === chosen ? 0.9 : 0.08));
    for (const plane of planes) Plotly.restyle(plane, { "marker.color": [colours], "marker.opacity": [opacity] });
  }

  function chip(text, shade, number) {
    const button = document.createElement("button");
    button.type = "button";
    const dot = document.createElement("i");
    dot.style.background = shade;
    // The names are HTML without tags, as plots want them.
    const name = document.createElement("span");
    name.textContent = new DOMParser().parseFromString(text, "text/html").body.textContent;
    button.append(dot, name);
    button.addEventListener("click", () => {
      chosen = chosen === number ? null : number;
      for (const other of legend.children) other.setAttribute("aria-pressed", String(other === button && chosen !== null));
      colour();
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
    colour();
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

function asCsv(table) {
  const field = (cell) => '"' + cell.textContent.trim().replace(/\s+/g, " ").replaceAll('"', '""') + '"';
  return [...table.rows].map((row) => [...row.cells].map(field).join(",")).join("\n") + "\n";
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // A page opened from disk may not use the clipboard: the text is selected for the person to copy.
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
  heading.tabIndex = 0;
  heading.addEventListener("click", () => sortBy(heading));
  heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(heading); });
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy).textContent));
}
