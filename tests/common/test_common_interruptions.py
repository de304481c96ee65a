"""A stop signal takes effect between writes."""

import signal
import threading

import pytest

from workflow_scripts.common.interruptions import Interrupted, interruptions


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_write_waits_for_its_end(number: int, status: int) -> None:
    before, written = signal.getsignal(number), []
    with pytest.raises(Interrupted) as stopped, interruptions() as stop, stop.held_back():
        signal.raise_signal(number)
        written.append("whole")
    assert (stopped.value.status, written) == (status, ["whole"])
    assert signal.getsignal(number) == before


def test_a_second_signal_is_not_delayed() -> None:
    with pytest.raises(KeyboardInterrupt) as stopped, interruptions() as stop, stop.held_back():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert not isinstance(stopped.value, Interrupted)


def test_a_fault_of_an_image_is_not_mistaken_for_a_stop() -> None:
    assert not issubclass(Interrupted, Exception)


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def within() -> None:
        with interruptions():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert seen == [before]
