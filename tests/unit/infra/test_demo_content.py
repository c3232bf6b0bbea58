"""The demo's content: reproducible, valid, in order, varied, and legible to the OCR engine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import phonenumbers
import pypdfium2
import pytest
from PIL import Image
from stdnum import luhn
from stdnum.cn import ric, uscc

from infra.demo import REFERENCE, SEED, TOUR_SCAN, TOUR_WORD, Content, Scan, make_content
from infra.demo.lives import STANDINGS, TOUR_AGENT, TOUR_OWNER
from infra.demo.model import (
    Archive,
    Assign,
    AttachScan,
    CaseLife,
    Close,
    Communicate,
    DemoCustomer,
    DemoPerson,
    Feedback,
    Measure,
    Note,
    Raise,
    Review,
)
from service.access.policy import Role
from service.cases.model import CaseState
from service.cases.rules import Step, next_state
from service.clock import new_id
from service.customers.model import ChannelKind, CustomerKind, IdentityKind
from service.customers.rules import Reader
from service.errors import Problems
from service.evidence.reading.recognition import Recogniser
from service.identity.rules import read_new_user
from service.templates.model import TemplateOf, template_of
from service.templates.rules import check_attributes, check_template, missing_at


@cache
def content() -> Content:
    return make_content()


@cache
def people() -> dict[str, DemoPerson]:
    return {person.email: person for person in content().people}


def fingerprint(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


PRINT_FINGERPRINTS = """
import hashlib
from infra.demo import TOUR_SCAN, make_content
made = make_content()
print(hashlib.sha256(repr(made).encode()).hexdigest())
for key in (TOUR_SCAN, "scan-24", "scan-33"):
    print(hashlib.sha256(made.scan(key).draw()).hexdigest())
"""


def test_the_same_seed_gives_the_same_data_and_scans_in_another_process() -> None:
    command = [sys.executable, "-c", PRINT_FINGERPRINTS]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    scans = [content().scan(key).draw() for key in (TOUR_SCAN, "scan-24", "scan-33")]
    assert made.stdout.split() == [
        fingerprint(content()),
        *(hashlib.sha256(scan).hexdigest() for scan in scans),
    ]


def test_another_seed_gives_other_data() -> None:
    assert fingerprint(make_content(SEED + 1).case_lives) != fingerprint(content().case_lives)


def test_there_is_as_much_as_promised_and_scale_multiplies_it() -> None:
    made = content()
    assert (len(made.departments), len(made.people), len(made.customers)) == (4, 20, 200)
    assert (len(made.case_lives), len(made.scans)) == (600, 40)
    tenth = make_content(scale=0.1)
    assert (len(tenth.people), len(tenth.customers), len(tenth.case_lives), len(tenth.scans)) == (
        20,
        20,
        60,
        40,
    )
    double = make_content(scale=2)
    assert (len(double.customers), len(double.case_lives)) == (400, 1_200)
    # A customer is the same in every scale, but for the date its file was opened.
    assert [c.as_input() for c in double.customers[:200]] == [c.as_input() for c in made.customers]


def test_every_department_can_do_every_step_and_every_account_is_accepted() -> None:
    for department in content().departments:
        here = [person for person in content().people if person.department == department.key]
        assert {"AGENT", "ACCOUNT_MANAGER", "SUPERVISOR", "CLERK"} <= {role for p in here for role in p.roles}
    east = {person.roles for person in content().people if person.department == "east"}
    assert {("AGENT",), ("ACCOUNT_MANAGER",), ("SUPERVISOR",), ("CLERK",)} <= east
    assert {role for person in people().values() for role in person.roles} == {role.value for role in Role}
    assert len(people()) == 20
    for person in content().people:
        problems = Problems()
        department = new_id("dep") if person.department else None
        given = {"email": person.email, "name": person.name, "roles": list(person.roles), "department": department}
        read_new_user(given, problems)
        problems.raise_if_any()


def test_every_identity_number_is_valid_unique_and_in_a_range_that_nobody_has() -> None:
    numbers = [(n["kind"], n["value"]) for c in content().customers for n in c.identity_numbers]
    assert len(numbers) == len(set(numbers)) > 150
    for kind, number in numbers:
        if kind == IdentityKind.ID_CARD.value:
            assert ric.is_valid(number)
            assert number[14:17] == "000"
        else:
            assert uscc.is_valid(number)
            assert number[2:8] == "990000"
    for customer in content().customers:
        for identity in customer.identity_numbers:
            if identity["kind"] == "ID_CARD":
                assert ric.get_birth_date(identity["value"]).isoformat() == customer.date_of_birth


def test_every_phone_parses_as_a_mainland_mobile_number_and_none_repeats() -> None:
    phones = [i["value"] for c in content().customers for i in c.channels if i["kind"] == ChannelKind.PHONE.value]
    phones += [contact["phone"] for customer in content().customers for contact in customer.contacts]
    assert len(phones) == len(set(phones)) > 200
    for phone in phones:
        parsed = phonenumbers.parse(phone, "CN")
        assert phonenumbers.is_valid_number(parsed)
        assert phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.MOBILE


def test_bank_cards_pass_the_luhn_check_and_mail_stays_on_reserved_domains() -> None:
    cards = [account["number"] for c in content().customers for account in c.bank_accounts]
    assert len(cards) > 100
    assert all(luhn.is_valid(card) and card.startswith("62000000") for card in cards)
    mails = [i["value"] for c in content().customers for i in c.channels if i["kind"] == ChannelKind.EMAIL.value]
    mails += [contact["email"] for c in content().customers for contact in c.contacts if "email" in contact]
    assert all(mail.endswith(("@example.com", ".example.com")) for mail in mails)
    assert all(email.endswith(".example") for email in people())


def test_every_customer_is_accepted_by_the_rules_for_customer_files() -> None:
    template = published(dict(content().customer_template))
    contracts = [c.attributes["contract_number"] for c in content().customers if "contract_number" in c.attributes]
    assert len(contracts) == len(set(contracts))
    for number, customer in enumerate(content().customers):
        problems, values = Problems(), customer.as_input()
        reader = Reader(problems, "usr_demo", datetime(2026, 11, 20, tzinfo=UTC))
        reader.channels(values["channels"])
        reader.contacts(values["contacts"])
        reader.bank_accounts(values["bank_accounts"])
        reader.addresses(values["addresses"])
        reader.tags(values["tags"])
        assert all(item["verified"] for item in reader.identity_numbers(values["identity_numbers"]))
        attributes = check_attributes(template, values["attributes"], {}, problems)
        problems.raise_if_any()
        assert missing_at(template, attributes, "CREATE") == []
        owner = people()[customer.owner]
        assert "ACCOUNT_MANAGER" in owner.roles
        assert owner.department == customer.department
        assert customer.parent is None or customer.parent < number
    kinds = Counter(customer.kind for customer in content().customers)
    assert kinds.keys() == {kind.value for kind in CustomerKind}
    assert min(kinds.values()) > 50


def published(values: dict[str, Any]) -> Any:
    problems = Problems()
    check_template(values, [], problems)
    problems.raise_if_any()
    return template_of({**values, "_id": "tpl_demo", "version": 1, "created_at": datetime(2026, 1, 1, tzinfo=UTC)})


def test_the_templates_can_be_published_and_every_case_fits_its_own() -> None:
    template = published(dict(content().case_template))
    assert template.of is TemplateOf.CASE
    categories = {category.key for category in template.categories}
    assert len(categories) >= 12
    for life in content().case_lives:
        problems, raised = Problems(), life.raised
        assert raised.category in categories
        items = [{"key": key, "value": value} for key, value in raised.attributes.items()]
        for step in life.steps:
            if isinstance(step, Close):
                items += [{"key": key, "value": value} for key, value in step.attributes.items()]
        attributes = check_attributes(template, items, {}, problems)
        problems.raise_if_any()
        assert missing_at(template, attributes, "RAISE") == []


TRANSITION = {
    Assign: Step.ASSIGN,
    Measure: Step.MEASURE,
    Communicate: Step.COMMUNICATE,
    Note: Step.NOTE,
    AttachScan: Step.FILE,
    Feedback: Step.FEEDBACK,
    Close: Step.CLOSE,
    Archive: Step.ARCHIVE,
}
STATE = {standing: {standing} for standing in STANDINGS} | {
    "RETURNED": {"ASSIGNED", "HANDLING"},
    "ARCHIVED": {"SEALING"},
}


def test_every_life_goes_through_the_states_as_the_rules_allow() -> None:
    for life in content().case_lives:
        state = CaseState.RAISED
        for step in life.steps[1:]:
            assert not isinstance(step, Raise)
            if isinstance(step, Review):
                state = next_state(Step.APPROVE if step.approved else Step.RETURN, state)
            else:
                state = next_state(TRANSITION[type(step)], state)
        assert state.value in STATE[life.standing], life


def test_every_step_is_taken_by_somebody_who_may_take_it() -> None:
    for life in content().case_lives:
        customer = content().customers[life.raised.customer]
        handlers: set[str] = set()
        agent = reviewer = ""
        for step in life.steps:
            actor = people()[step.by]
            if isinstance(step, Raise | Feedback | Close):
                assert step.by == customer.owner
            elif isinstance(step, Assign):
                agent = step.assignee
                assert "SUPERVISOR" in actor.roles
                assert "AGENT" in people()[agent].roles
                assert people()[agent].department == actor.department == customer.department
            elif isinstance(step, Measure):
                handlers.add(step.by)
                assert step.by == agent
            elif isinstance(step, Review):
                reviewer = step.by
                assert "SUPERVISOR" in actor.roles
                assert actor.department == people()[agent].department
                assert step.by not in {*handlers, agent, customer.owner}
            elif isinstance(step, Archive):
                assert step.by == reviewer or "COMPLIANCE" in actor.roles
            elif isinstance(step, AttachScan):
                assert "CLERK" in actor.roles
                assert actor.department == customer.department
            else:
                assert step.by in {agent, customer.owner} or "SUPERVISOR" in actor.roles


def test_time_runs_forwards_over_two_years_and_ends_at_the_reference_day() -> None:
    for life in content().case_lives:
        times = [step.at for step in life.steps]
        assert all(at.utcoffset() == timedelta(0) for at in times)
        assert times == sorted(times)
        assert times[-1] <= REFERENCE
        assert content().customers[life.raised.customer].opened_at < times[0]
    first, last = content().case_lives[0].raised.at, content().case_lives[-1].raised.at
    assert timedelta(days=700) < last - first < timedelta(days=732)


def test_most_cases_are_archived_and_open_ones_of_every_kind_are_recent() -> None:
    standings = Counter(life.standing for life in content().case_lives)
    assert standings.keys() == STANDINGS.keys()
    assert 420 < standings["ARCHIVED"] < 520
    assert min(standings.values()) >= 10
    for life in content().case_lives:
        if life.standing != "ARCHIVED":
            assert REFERENCE - life.steps[-1].at < timedelta(days=12)


def test_texts_differ_and_read_as_chinese() -> None:
    lives = content().case_lives
    assert len({life.raised.description for life in lives}) >= 0.9 * len(lives)
    assert len({life.raised.title for life in lives}) >= 0.5 * len(lives)
    assert len({life.story for life in lives}) >= 12
    for text in texts(*lives):
        assert not set(text) & set("{};?"), text
        assert sum("\u4e00" <= character <= "\u9fff" for character in text) >= 4


def texts(*lives: CaseLife) -> list[str]:
    found = []
    for life in lives:
        for step in life.steps:
            found += [
                getattr(step, name)
                for name in ("title", "description", "text", "resolution", "opinion")
                if hasattr(step, name)
            ]
    return found


def test_satisfaction_uses_the_whole_scale() -> None:
    stars = Counter(s.satisfaction for life in content().case_lives for s in life.steps if isinstance(s, Feedback))
    assert set(stars) == {1, 2, 3, 4, 5}


def test_each_scan_belongs_to_one_case_and_its_word_stands_nowhere_else() -> None:
    attached = [step.scan for life in content().case_lives for step in life.steps if isinstance(step, AttachScan)]
    assert sorted(attached) == sorted(scan.key for scan in content().scans)
    elsewhere = "\n".join(texts(*content().case_lives)) + repr(content().customers)
    for scan in content().scans:
        assert scan.word in scan.sheet.text
        assert scan.word not in elsewhere
        assert all(scan.word not in other.sheet.text for other in content().scans if other is not scan)
    # Searching cuts pairs of characters: no pair of the tour's word may stand in a case either.
    assert all(TOUR_WORD[n : n + 3] not in elsewhere for n in range(len(TOUR_WORD) - 2))


def test_the_tours_case_is_open_and_reached_by_the_accounts_with_one_role() -> None:
    life = next(
        life
        for life in content().case_lives
        if any(isinstance(step, AttachScan) and step.scan == TOUR_SCAN for step in life.steps)
    )
    customer: DemoCustomer = content().customers[life.raised.customer]
    assert life.standing == "HANDLING"
    assert customer.owner == TOUR_OWNER
    assert people()[TOUR_OWNER].roles == ("ACCOUNT_MANAGER",)
    assert [step.assignee for step in life.steps if isinstance(step, Assign)] == [TOUR_AGENT]
    assert content().scan(TOUR_SCAN).word == TOUR_WORD
    assert len(TOUR_WORD) >= 4


@cache
def drawn(scan: Scan) -> bytes:
    return scan.draw()


def test_all_scans_together_are_small_and_are_what_they_say() -> None:
    for scan in content().scans:
        assert drawn(scan).startswith(b"%PDF-" if scan.media_type == "application/pdf" else b"\xff\xd8\xff")
        assert scan.file_name.endswith(".pdf" if scan.media_type == "application/pdf" else ".jpg")
    assert sum(len(drawn(scan)) for scan in content().scans) < 5_000_000


@pytest.mark.parametrize("kind", ["CONTRACT", "DELIVERY_NOTE", "OTHER"])
def test_a_born_digital_scan_has_its_words_in_the_text_layer(kind: str) -> None:
    scan = next(s for s in content().scans if s.kind == kind and s.media_type == "application/pdf")
    document = pypdfium2.PdfDocument(drawn(scan))
    assert len(document) == 1
    assert scan.word in document[0].get_textpage().get_text_bounded()
    document.close()


@pytest.mark.timeout(120)
def test_the_ocr_engine_reads_the_tours_word_and_a_letters() -> None:
    recogniser = Recogniser(threads=2)
    letter = next(scan for scan in content().scans if scan.kind == "COMPLAINT_LETTER")
    for scan in (content().scan(TOUR_SCAN), letter):
        picture = np.asarray(Image.open(BytesIO(drawn(scan))).convert("RGB"))[:, :, ::-1]
        assert scan.word in recogniser.recognise(np.ascontiguousarray(picture)).text
