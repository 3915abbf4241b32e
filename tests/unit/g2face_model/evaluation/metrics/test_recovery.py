from __future__ import annotations

from made_measurements import MadeMeasurements, recovered

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.metrics import recovery


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def test_every_way_back_and_every_refusal_is_counted() -> None:
    made = MadeMeasurements()
    for number in range(4):
        png = recovered(wrong_key_refused=number > 0, restore_seconds=float(number))
        jpeg = recovered(format="jpeg", bit_exact=number > 1)
        made.photo(made.stranger(f"{number}.jpg"), "g2face", faces=1, recovered=(png, jpeg))
    findings = recovery.compute(made.view)
    assert _figure(findings, "bit_exact", format="png").value == 1.0
    assert _figure(findings, "bit_exact", format="jpeg").value == 0.5
    assert _figure(findings, "wrong_key_refused", format="png").value == 0.75
    assert _figure(findings, "tampering_refused", format="jpeg").value == 1.0
    assert _figure(findings, "restore_seconds", format="png").value == 1.5
    assert _figure(findings, "payload_bytes", format="png").value == 1000
    assert [(note.code, note.values["method"]) for note in findings.notes] == [("no_way_back", "blur")]


def test_nothing_to_recover_is_said() -> None:
    made = MadeMeasurements()
    made.photo(made.stranger("landscape.jpg"), "g2face", faces=0)
    findings = recovery.compute(made.view)
    assert not findings.figures
    assert "nothing_to_recover" in [note.code for note in findings.notes]
