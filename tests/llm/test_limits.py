from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from harness.llm.limits import Backoff, Bucket, retry_after


class Time:
    """A clock that is set by hand; sleeps are noted, and `went` is when each amount went."""

    def __init__(self):
        self.now = 0.0
        self.went = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.went[-1] += seconds

    def take(self, bucket, amount=1.0):
        self.went.append(self.now)
        asyncio.run(bucket.take(amount))
        return self.went[-1]


@pytest.mark.parametrize(("per_minute", "gap"), [(7.0, 0.1), (60.0, 0.9), (600.0, 0.5), (90.0, 0.0)])
def test_no_minute_sees_more_requests_than_allowed(per_minute, gap):
    time, rng = Time(), np.random.default_rng(3)
    bucket = Bucket(per_minute, time.clock, time.sleep)
    for _ in range(300):
        time.take(bucket)
        time.now += rng.exponential(gap) if gap else 0.0
    went = np.array(time.went)
    assert (np.diff(went) >= 60.0 / per_minute - 1e-9).all()
    most = max(((went >= start) & (went < start + 60.0 - 1e-6)).sum() for start in went)
    assert most <= per_minute


def test_no_minute_sees_more_tokens_than_allowed_and_the_request_that_ends_it():
    time, rng = Time(), np.random.default_rng(4)
    bucket = Bucket(1000.0, time.clock, time.sleep)
    amounts = rng.integers(1, 300, 200)
    went = np.array([time.take(bucket, float(a)) for a in amounts])
    for start in went:
        inside = (went >= start) & (went < start + 60.0 - 1e-6)
        assert amounts[inside].sum() - amounts[inside][-1] <= 1000.0


def test_a_bucket_that_was_idle_lets_the_next_go_at_once_and_no_burst():
    time = Time()
    bucket = Bucket(60.0, time.clock, time.sleep)
    assert time.take(bucket) == 0.0
    time.now = 1000.0
    assert [time.take(bucket) for _ in range(3)] == [1000.0, 1001.0, 1002.0]


def test_without_a_limit_everything_goes_at_once_unless_held():
    time = Time()
    bucket = Bucket(None, time.clock, time.sleep)
    assert [time.take(bucket, 1e9) for _ in range(3)] == [0.0, 0.0, 0.0]
    bucket.hold(7.0)
    bucket.hold(2.0)
    assert time.take(bucket) == 7.0


def test_what_was_taken_too_much_is_given_back():
    time = Time()
    bucket = Bucket(60.0, time.clock, time.sleep)
    time.take(bucket, 100.0)
    bucket.correct(90.0)
    assert time.take(bucket, 5.0) == 10.0
    bucket.correct(-5.0)
    assert time.take(bucket) == 20.0


def test_backoff_is_uniform_below_a_bound_that_doubles_up_to_the_longest():
    backoff, rng = Backoff(first=1.0, longest=10.0), np.random.default_rng(0)
    for attempt, bound in enumerate([1.0, 2.0, 4.0, 8.0, 10.0, 10.0]):
        waits = np.array([backoff.wait(attempt, rng) for _ in range(4000)])
        assert waits.min() >= 0.0
        assert waits.max() <= bound
        assert waits.mean() == pytest.approx(bound / 2, rel=0.05)
    assert 0.0 <= backoff.wait(5000, rng) <= 10.0


def test_what_the_server_asks_for_is_kept_to_and_capped():
    backoff, rng = Backoff(first=1.0, longest=10.0, longest_asked=300.0), np.random.default_rng(0)
    waits = [backoff.wait(0, rng, 42.0) for _ in range(200)]
    assert 42.0 <= min(waits) < max(waits) <= 43.0
    assert 300.0 <= backoff.wait(0, rng, 86400.0) <= 301.0
    at_once = [backoff.wait(2, rng, 0.0) for _ in range(200)]
    assert 0.0 <= min(at_once) < 3.0 < max(at_once) <= 4.0


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.25", 0.25),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 12:00:05 -0000", 5.0),
        ("Sun, 01 Mar 2026 12:00:05", 5.0),
    ],
)
def test_retry_after_in_both_of_its_forms(value, seconds):
    assert retry_after(value, NOW) == seconds
