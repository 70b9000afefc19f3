"""Bad input: each gets an error of ours, in at most 300 characters, before anything is scheduled."""

import datetime
import math
import random
import re

import pytest
import schedule
from hypothesis import example, given, settings
from hypothesis import strategies as st

from task.errors import ScheduleError, TaskError
from task.schedules import CronJob, check_job, cron, every

# Cron text.

MALFORMED = """
x
*
* *
* * *
* * * *
* * * * * * *
* * * * * * * *
60 * * * *
-1 * * * *
* 24 * * *
* -1 * * *
* * 0 * *
* * 32 * *
* * * 0 *
* * * 13 *
* * * * 8
* * * * 9
* * * * * 60
* * * * * -1
1.5 * * * *
1e1 * * * *
0x10 * * * *
+5 * * * *
a * * * *
* a * * *
* * a * *
* * * a *
* * * * a
*/0 * * * *
*/-1 * * * *
*/a * * * *
*/ * * * *
/5 * * * *
/ * * * *
*/5/5 * * * *
*/*/5 * * * *
1-5/0 * * * *
1-5/ * * * *
1-5/x * * * *
5- * * * *
-5 * * * *
1--5 * * * *
1-2-3 * * * *
1-60 * * * *
1-x * * * *
x-1 * * * *
- * * * *
, * * * *
1, * * * *
,1 * * * *
1,,2 * * * *
1,x * * * *
1,60 * * * *
** * * * *
*5 * * * *
5* * * * *
*-5 * * * *
*,x * * * *
? * * * *
* ? * * *
* * * ? *
*? * * * *
* * ?5 * *
* * 5? * *
* * L5 * *
* * LW * *
* * WL * *
* * W * *
* * 0W * *
* * 32W * *
* * 1W,15W * *
* * 1-5W * *
* * 15WW * *
* * -1W * *
L * * * *
* L * * *
* * * L *
* * * * L
* * * * L8
* * * * L9
* * * * LL
* * * * 8L
* * * * #
* * * * 1#
* * * * #1
* * * * 1#0
* * * * 1#6
* * * * 1#-1
* * * * 1#x
* * * * x#1
* * * * 8#1
* * * * 1#1#1
* * * * 1#1/2
* * 1#1 * *
1#1 * * * *
* * * jan-foo *
* * * foo-jan *
* * * janu *
* * * january *
* * * jan/ *
* * * mon *
* * * * jan
* * * * monday
* * * * mon-
* * * * -mon
* * * * mon-x
* * * * mo
* * * * mon,
* * * * mon,,tue
* * * * m*n
H() * * * *
H(5) * * * *
H(5-) * * * *
H(-5) * * * *
H(5-3) * * * *
H(0-99) * * * *
H(a-b) * * * *
H/0 * * * *
H/x * * * *
H/ * * * *
HH * * * *
H5 * * * *
5H * * * *
H,5 * * * *
5,H * * * *
H-5 * * * *
H(0-5)(0-5) * * * *
H(0-5)/0 * * * *
* H(0-24) * * *
* * H(0-5) * *
* * * H(0-5) *
* * * * H(0-9)
R * * * *
r * * * *
R/5 * * * *
R(0-5) * * * *
R(0-5)/2 * * * *
* R * * *
* * * * R
* * * * * R
H R * * *
5,R * * * *
@
@@
@ hourly
@reboot
@REBOOT
@every 5m
@every_minute
@fortnightly
@hourly *
@daily @daily
* * * * @daily
hourly
daily
every day
never
0 2 * * * root /usr/bin/true
0 2 * * * /usr/bin/true > /dev/null
MAILTO=x
# comment
"0 2 * * *"
'0 2 * * *'
0 2 * * *;
0,2,*,*,*
0_2_*_*_*
0/2/*/*/*
0 2 * * * UTC
TZ=UTC 0 2 * * *
CRON_TZ=UTC 0 2 * * *
PT5M
2026-05-04 12:00
12:30
{} {} {} {} {}
%d %d %d %d %d
$0 $1 $2 $3 $4
null null null null null
None None None None None
nan nan nan nan nan
inf * * * *
true * * * *
\\\\ * * * *
[0-5] * * * *
(0) * * * *
0|5 * * * *
!5 * * * *
~5 * * * *
0~5 * * * *
5=5 * * * *
<script> * * * *
' OR 1=1 -- *
../../etc/passwd * * * *
9999999999999999999999 * * * *
*/9999999999999999999999x * * * *
0-9999999999 * * * *
""".strip("\n").split("\n")

STRANGE = [
    "",
    " ",
    "\t\n",
    "     ",
    "\0",
    "\0 \0 \0 \0 \0",
    "0 2 * * *\0",
    "0\x002 * * *",
    "0 2 * *\x1b[31m *",
    "\x7f * * * *",
    "\x08 * * * *",
    "0 2 * * \N{FULLWIDTH ASTERISK}",
    "\N{ARABIC-INDIC DIGIT FIVE} * * * *",
    "0\N{NO-BREAK SPACE}2\N{NO-BREAK SPACE}* * *",
    "\N{RIGHT-TO-LEFT OVERRIDE}0 2 * * *",
    "0 2 * * *\N{ZERO WIDTH SPACE}",
    "\ud800 * * * *",
    "\N{PILE OF POO} * * * *",
    "m\N{LATIN SMALL LETTER O WITH DIAERESIS}n",
    "9" * 5_000,
    "9" * 5_000 + " * * * *",
    "0 2 * * " + "9" * 248,
    "9" * 248 + " * * * *",
    "," * 1_000_000,
    "*," * 500_000 + "* * * * *",
    ",".join("1" * 125) + ", * * * *",
    "*/" * 120 + " * * * *",
    "-".join("1" * 100) + " * * * *",
    "* " * 1_000_000,
    "* * * * *" + " " * 248,
    "(" * 250,
    "@" * 256,
    "H(" * 100 + " * * * *",
    "#" * 200 + " * * * *",
    "a" * 256,
]

NEVER = [
    "0 0 30 2 *",
    "0 0 31 2 *",
    "0 0 30,31 2 *",
    "0 0 30-31 feb *",
    "0 0 31 4 *",
    "0 0 31 4,6,9,11 *",
    "0 0 31 2,4,6,9,11 *",
    "0 0 31 2,4,6,9,11 */2",
    "* * 31 2 *",
    "*/5 * 30 2 *",
    "0 0 31 2 * 30",
    "H H 31 2 *",
    "0 0 31 2 mon#1",
    "0 0 31 * 1#1",
    "0 0 20-31 * sun#1",
    "0 0 1W * sun",
    "0 0 1 1 1#5",
]


def refused(expression, **kinds):
    """The message of the error that an expression gets."""
    with pytest.raises(TaskError) as caught:
        cron(expression, **kinds)
    assert isinstance(caught.value, ScheduleError)
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert len(message) <= 300
    assert message.isprintable()
    return message


@pytest.mark.parametrize("expression", MALFORMED + STRANGE, ids=lambda text: ascii(text)[:40])
def test_malformed_cron_text_is_refused(expression):
    assert "cron" in refused(expression) or "@reboot" in expression.lower()


@pytest.mark.parametrize("expression", NEVER)
def test_a_date_that_never_comes_is_refused(expression):
    assert refused(expression).endswith("names a date that never comes: check day and month.")


@pytest.mark.parametrize("value", [None, 5, 5.0, b"0 2 * * *", ["0", "2", "*", "*", "*"], object(), datetime.time(2)])
def test_what_is_no_text_is_refused(value):
    assert refused(value).startswith("A cron expression is text such as '0 2 * * *', not ")


def test_text_of_256_characters_is_read_and_of_257_is_not():
    assert isinstance(cron("0 2 * * *" + " " * 247), CronJob)
    assert "at most 256 ASCII characters" in refused("0 2 * * *" + " " * 248)


def test_the_message_quotes_the_text_and_shows_an_example():
    assert refused("0 25 * * *") == (
        "The cron expression '0 25 * * *' is not valid: '[0 25 * * *] is not acceptable, out of range'. "
        "It has five fields: minute hour day month weekday, as in '30 2 * * mon-fri'."
    )


def test_the_message_counts_the_fields():
    assert refused("0 2 * *") == (
        "The cron expression '0 2 * *' has 4 fields; cron has five (minute hour day month weekday), "
        "or six with the second last."
    )


def test_a_random_moment_is_refused_with_the_way_out():
    assert "Use H, which is hashed from the task's name." in refused("R 2 * * *")


def test_a_reboot_is_refused_with_the_way_out():
    assert refused("@reboot") == "'@reboot' is not a time. Use run_at_start=True on the task."


def test_an_unknown_zone_is_refused():
    assert refused("0 2 * * *", tz="Mars/Olympus").startswith("There is no time zone 'Mars/Olympus'.")


AT_START = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


def judge(expression):
    """Cron text is refused with an error of ours, or has a slot."""
    message = ""
    try:
        assert cron(expression, tz="Europe/Amsterdam").next_slot(AT_START) > AT_START
    except TaskError as error:
        message = str(error)
    assert len(message) <= 300


@given(st.text(max_size=300))
@example("0 0 29 2 */7")
@settings(deadline=None, max_examples=300)
def test_any_text_is_refused_or_has_a_slot(expression):
    judge(expression)


@given(st.text(alphabet="0123456789*/-,#?LWHR@() \tjanmon", max_size=260))
@settings(deadline=None, max_examples=300)
def test_any_text_of_cron_characters_is_refused_or_has_a_slot(expression):
    judge(expression)


ATOMS = re.split(
    " ", "* */5 1 31 30 29 L 1-5 1,2 sun#1 L5 H H(1-5) H/3 15W 1W 31W 0 ? 5/7 2 feb 29-31 mon#5 6 sat */31 1-31/30"
)


@pytest.mark.parametrize("seed", range(300))
def test_any_mixture_of_fields_is_refused_or_has_a_slot(seed):
    draw = random.Random(seed)
    judge(" ".join(draw.choice(ATOMS) for _ in range(draw.choice([5, 5, 5, 6]))))


# `every`.


@pytest.mark.parametrize(
    "interval",
    [
        0,
        -1,
        -5,
        0.0,
        -0.5,
        1e-9,
        1e9,
        math.inf,
        -math.inf,
        math.nan,
        10**400,
        10**5000,
        True,
        False,
        None,
        "5",
        [],
        5j,
        "9" * 5000,
    ],
    ids=lambda interval: type(interval).__name__,
)
def test_an_interval_that_cannot_be_kept_is_refused(interval):
    with pytest.raises(ScheduleError, match="can never be kept") as caught:
        every(interval)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule.every(0).seconds, "every(0) can never be kept"),
        (lambda: schedule.every(-5).seconds, "every(-5) can never be kept"),
        (lambda: schedule.every("5").seconds, "every('5') can never be kept"),
        (lambda: schedule.every(), "every(1) has no unit. Write every(1).seconds, .minutes"),
        (lambda: every(5), "every(5) has no unit"),
        (lambda: every(5).to(3).seconds, "every(5).to(3): the range must not end before it starts."),
        (lambda: every(5).to(0).seconds, "every(0) can never be kept"),
        (lambda: every(5).to("9").seconds, "every('9') can never be kept"),
        (lambda: every(1.5).days, "every(1.5).days: days and weeks are whole."),
        (lambda: every(0.5).weeks, "every(0.5).weeks: days and weeks are whole."),
        (lambda: every(1.5).hours.at("30:00"), "every(1.5).hours cannot have .at()"),
        (lambda: every(0.5).minutes.at(":30"), "every(0.5).minutes cannot have .at()"),
        (lambda: every(100_000_000).days, "every(100000000).days is more than a century"),
        (lambda: every(100_000_000).weeks, "every(100000000).weeks is more than a century"),
        (lambda: every(1_000_000).hours, "every(1000000).hours is more than a century"),
        (lambda: every(1).to(40_000).days, "every(1).days is more than a century"),
    ],
)
def test_a_job_that_can_never_be_due_is_refused(make, message):
    with pytest.raises(ScheduleError, match=re.escape(message)) as caught:
        check_job(make())
    assert len(str(caught.value)) <= 300


def test_a_weekday_of_something_else_than_weeks_is_refused():
    job = every().monday
    job.unit = "days"
    with pytest.raises(ScheduleError, match="only weeks have weekdays"):
        check_job(job)


@pytest.mark.parametrize(
    "job",
    [
        every(0.001).seconds,
        every(100_000_000).seconds,
        every(36_525).days,
        every(5).to(5).minutes,
        every(2.0).hours.at("30:00"),
        schedule.every().day.at("10:30", "Europe/Amsterdam"),
        cron("0 2 * * *"),
    ],
    ids=repr,
)
def test_a_job_that_can_be_due_is_taken(job):
    check_job(job)


@given(st.text(max_size=100))
def test_any_zone_is_known_or_refused(zone):
    message = ""
    try:
        every().day.at("10:30", zone)
    except TaskError as error:
        message = str(error)
    assert len(message) <= 300
