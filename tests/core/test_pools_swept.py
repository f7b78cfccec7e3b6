"""What a sweep would leave free is what the tables and what comes back have together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gapless_server.core.kinds.pools.free import ListedFree, TableFree
from gapless_server.core.kinds.pools.ranges import all_within, joined, runs_of
from gapless_server.core.kinds.pools.swept import swept_free
from gapless_server.core.kinds.pools.tables import pool_counts, pool_tables, require_pool
from gapless_server.core.steps import whole_answer
from tests.core.pool_commands import PORTS, create, reserve
from tests.core.story import Story

LAST = 24


@given(
    held=st.sets(st.integers(1, LAST), min_size=1),
    preferred=st.lists(st.integers(1, LAST), unique=True, max_size=6),
    data=st.data(),
)
def test_it_is_as_if_all_runs_were_listed(
    held: set[int], preferred: list[int], data: st.DataObject
) -> None:
    # Given a pool of which some numbers are held
    story = Story().given(create((1, LAST), preferred=preferred))
    for number in held:
        story.given(reserve(f"k{number}", preferred=number, only_preferred=True))
    pool = require_pool(story.state, PORTS)
    tables = TableFree(pool_tables(story.state), PORTS, pool, pool_counts(story.state, PORTS))

    # When some of them come back
    back = runs_of(sorted(data.draw(st.sets(st.sampled_from(sorted(held)), min_size=1))))
    swept = whole_answer(swept_free(tables, pool, joined(all_within(back, pool.allowed))))

    # Then everything is as if all that is free was written down
    listed = ListedFree(joined([*tables.runs(), *back]), pool.preferred)
    assert list(swept.runs()) == list(listed.runs())
    assert swept.count() == listed.count()
    assert list(swept.preferred()) == list(listed.preferred())
    assert swept.longest() == listed.longest()
    for number in range(LAST + 2):
        assert swept.run_from(number) == listed.run_from(number)
        assert swept.tightest(number) == listed.tightest(number)
