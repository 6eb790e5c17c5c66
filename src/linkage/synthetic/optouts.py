"""What the ICS knows of opt-outs beside the GP records: the national service's files, and practices that opted out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.places import LISTED_PRACTICE
from linkage.synthetic.world import World

MAILBOX = "X26OT154"
_SERVICE = "X26HC065"
_WORKFLOW = "SPINE_NTT_UPHOLDING"


@dataclass(frozen=True)
class Answer:
    """Who the service is asked about, and who of them has opted out; one entry a person."""

    asked: Flags
    out: Flags


def write_optouts(directory: Path, world: World, answer: Answer | None = None) -> int:
    """Write ``optouts/`` below ``directory``; how many files that makes."""
    answered = dt.datetime.combine(world.as_of - dt.timedelta(days=1), dt.time(6))
    people = world.population
    write_answer(directory, world, answered, answer or Answer(people.asked, people.national_out))
    (directory / "optouts/practices.csv").write_bytes(_practices(world))
    return 4


def write_answer(directory: Path, world: World, answered: dt.datetime, answer: Answer) -> None:
    """Write one request to the national service and its answer."""
    name = f"{MAILBOX}-{answered:%d%m%Y}-0001"
    requests, answers = directory / "optouts/national/requests", directory / "optouts/national/answers"
    for folder in (requests, answers):
        folder.mkdir(parents=True, exist_ok=True)
    asked, returned = _lists(world, answer)
    _write_numbers(requests / f"{name}.dat", asked)
    _write_numbers(answers / f"{name}.dat", returned)
    (answers / f"{name}.ctl").write_bytes(_control(name, answered))


def _lists(world: World, answer: Answer) -> tuple[Ints, Ints]:
    """The numbers asked about, and those of them that the service returned."""
    people = world.population
    numbers = np.concatenate([people.number, people.older, people.oldest, people.nobodys_numbers])
    nobodys = np.ones(len(people.nobodys_numbers), dtype=np.bool_)
    asked = np.concatenate([np.tile(answer.asked, 3), nobodys]) & (numbers > 0)
    returned = asked & np.concatenate([np.tile(~answer.out, 3), nobodys])
    order = Draws(world.seed, "national").shuffled(len(numbers))
    return _in_order(numbers, asked, order), _in_order(numbers, returned, order)


def _in_order(numbers: Ints, keep: Flags, order: Ints) -> Ints:
    return numbers[order][keep[order]]


def _write_numbers(path: Path, numbers: Ints) -> None:
    """One number a line, with a trailing comma and a line feed, as the service wants it."""
    lines = np.empty((len(numbers), 12), dtype=np.uint8)
    rest = numbers.copy()
    for place in range(9, -1, -1):
        lines[:, place] = rest % 10 + ord("0")
        rest //= 10
    lines[:, 10], lines[:, 11] = ord(","), ord("\n")
    path.write_bytes(lines.tobytes())


def _control(name: str, when: dt.datetime) -> bytes:
    """The control file that MESH puts beside a message."""
    root = ET.Element("DTSControl")
    for tag, text in (
        ("Version", "1.0"),
        ("AddressType", "DTS"),
        ("MessageType", "Data"),
        ("From_DTS", _SERVICE),
        ("To_DTS", MAILBOX),
        ("Subject", name),
        ("LocalId", name),
        ("DTSId", f"{when:%Y%m%d%H%M%S}000001"),
        ("Compress", "N"),
        ("Encrypted", "N"),
        ("WorkflowId", _WORKFLOW),
        ("IsCompressed", "N"),
        ("AllowChunking", "Y"),
    ):
        ET.SubElement(root, tag).text = text
    status = ET.SubElement(root, "StatusRecord")
    for tag, text in (
        ("DateTime", f"{when:%Y%m%d%H%M%S}"),
        ("Event", "TRANSFER"),
        ("Status", "SUCCESS"),
        ("StatusCode", "00"),
        ("Description", "Transferred to recipient mailbox"),
    ):
        ET.SubElement(status, tag).text = text
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _practices(world: World) -> bytes:
    since = world.as_of - dt.timedelta(days=400)
    practice = world.places.practices[LISTED_PRACTICE]
    return (
        f"not_sharing_ods_code,from,to,note\n{practice},{since},,partners declined to share\nend,1,{world.as_of}\n"
    ).encode()
