"""The answers of the reading commands as text.

Rule: everything shown stands in the answer; this file only lays it out, in the language asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowguardian.cli.answers import Compared, Explained, Refusal, Status, Why, both, money
from flowguardian.cli.language import Say
from flowguardian.cli.output import table


def why_text(answer: Why, say: Say) -> str:
    """`why`."""
    parts = [
        f"{say('why_title', run_id=answer.run_id)} · {both(answer.market_time)}",
        "",
        f"{say('why_now')}: {answer.now.sentence}",
        *_holds(answer, say),
        "",
        f"{say('funnel')}: {say('signals')} {answer.signals} → {say('attempts')} {answer.attempts}",
        table(list(_steps(answer, say)), right=(2, 3, 4, 5, 6)),
        *_after_steps(answer, say),
        "",
        say("last_refusals"),
        table([_refusal(row, say) for row in answer.refusals], right=(1, 4)) or f"  {say('no_refusal')}",
        "",
        say("starvation"),
        *(_starved(answer, say) or [f"  {say('no_starvation')}"]),
        "",
        say("longest_gap"),
        f"  {_gap(answer, say)}",
    ]
    return "\n".join(parts)


def _holds(answer: Why, say: Say) -> Iterator[str]:
    if answer.now.holds:
        yield f"  {say('also_held')}:"
        rows = [
            [say.reason(hold.code), hold.scope, say.release(hold.release), both(hold.release_at)]
            for hold in answer.now.holds
        ]
        yield table(rows, indent="    ")


def _steps(answer: Why, say: Say) -> Iterator[list[str]]:
    yield [say("step"), "", *(say(key) for key in ("evaluated", "allowed", "reduced", "refused", "shadow"))]
    group = ""
    for step in answer.steps:
        name = "" if step.group == group else say(f"group_{step.group}")
        group = step.group
        label = say.reason(step.code) + ("" if step.enabled else f" {say('off')}")
        numbers = (step.evaluated, step.allowed, step.reduced, step.refused, step.shadow)
        yield [name, label, *map(str, numbers)]


def _after_steps(answer: Why, say: Say) -> Iterator[str]:
    orders = answer.orders
    blocks = next(step.refused for step in answer.steps if step.code == "portfolio_budget")
    yield f"  → {say('orders')} {orders.requested} → {say('fills')} {orders.filled}"
    yield "    " + say(
        "unfilled", expired=orders.expired, rejected=orders.rejected, unsent=orders.unsent,
        unknown=orders.unknown, open=orders.open,
    )  # fmt: skip
    yield f"  {say('caps')} {answer.budget_caps} · {say('blocks')} {blocks}"


def _refusal(row: Refusal, say: Say) -> list[str]:
    until = say("released") if row.released else both(row.release_at) if row.release_at else ""
    return [
        say.reason(row.code),
        f"×{row.count}",
        f"{row.side} {row.symbol}",
        both(row.at),
        f"{say('value')} {row.value:,f} / {say('limit')} {row.limit:,f} {row.unit}".rstrip(),
        f"{say('released_by')}: {say.release(row.release)}",
        until,
    ]


def _starved(answer: Why, say: Say) -> list[str]:
    return [
        "  " + say(
            "starved", seq=row.seq, signals=row.signals, since=both(row.since), guard=say.reason(row.guard),
            refusals=row.refusals, release=say.release(row.release),
        )
        for row in answer.starvation
    ]  # fmt: skip


def _gap(answer: Why, say: Say) -> str:
    gap = answer.longest_gap
    if gap is None:
        return "-"
    refused = ", ".join(f"{say.reason(code)} {count}" for code, count in gap.refused.items()) or say("none")
    return say(
        "gap", duration=duration(gap.seconds), start=both(gap.start), end=both(gap.end), signals=gap.signals,
        refused=refused,
    )  # fmt: skip


def duration(seconds: float) -> str:
    """H:MM:SS."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def status_text(answer: Status, say: Say) -> str:
    """`status`."""
    return f"{answer.run_id}\n" + table(list(_status_lines(answer, say)))


def _status_lines(answer: Status, say: Say) -> Iterator[list[str]]:
    yield [say("state"), f"{answer.state} ({answer.verdict})"]
    yield [say("mode"), f"{answer.mode}, {answer.kind}, {answer.feed}"]
    wall = answer.wall_clock_seconds
    said = f" ({say('wall_clock')} {duration(wall)})" if wall is not None else ""
    yield [say("run_time"), f"{duration(answer.run_seconds)} / {duration(answer.planned_seconds)}{said}"]
    yield [say("market_time"), both(answer.market_time)]
    at = f" ({say('equity_at')} {both(answer.equity_at)})" if answer.equity_at else ""
    yield [say("equity"), f"{money(answer.equity_usdt)} USDT{at}"]
    for line in answer.budget:
        yield [say("budget"), say(
            "budget_line", strategy=line.strategy, used=money(line.used_usdt),
            allocated=money(line.allocated_usdt), available=money(line.available_usdt),
            reserved=money(line.reserved_usdt),
        )]  # fmt: skip
    yield [say("positions"), str(len(answer.open_positions)) if answer.open_positions else say("none")]
    for held in answer.open_positions:
        text = f"{held.side} {held.symbol} {held.qty:,f} @ {held.price:,f} = {money(held.value_usdt)} USDT"
        yield ["", f"{text} → {both(held.expires)}"]
    reason = f" ({answer.trading_state_reason})" if answer.trading_state_reason else ""
    yield [say("trading"), f"{answer.trading_state}{reason}"]
    yield [
        say("fills"),
        f"{answer.entries} · {say('caps')} {answer.budget_caps} · {say('blocks')} {answer.budget_blocks}",
    ]
    yield [say("last_trade"), _trade(answer) or say("none")]
    last = answer.last_refusal
    text = f"{both(last.at)} {last.side} {last.symbol}: {say.reason(last.code)}" if last else say("none")
    yield [say("last_refusal"), text]
    yield [say("why_now"), answer.now.sentence]
    yield [say("next_checkpoint"), answer.next_checkpoint or "-"]
    yield [say("segment"), f"{answer.segment} ({say('restarts', count=answer.restarts)})"]
    yield [say("process"), ", ".join(answer.processes) or say("not_alive")]


def _trade(answer: Status) -> str:
    trade = answer.last_trade
    if trade is None:
        return ""
    what = f"{trade.side} {trade.symbol} {trade.qty:,f} @ {trade.price:,f}"
    return f"{both(trade.at)} {what} ({trade.purpose})"


def explain_text(answer: Explained, say: Say) -> str:
    """`explain`."""
    key = "explain_refused" if answer.outcome == "refused" else "explain_entry"
    title = say(
        key, seq=answer.seq, side=answer.side, symbol=answer.symbol, strategy=answer.strategy,
        code=say.reason(answer.code), at=both(answer.at),
    )  # fmt: skip
    lines = [title, f"  {say('from_signal', seq=answer.signal_seq)}"]
    rows = [[say(f"line_{line.key}"), line.formula, "=", line.result] for line in answer.lines]
    lines.append(table(rows, right=(3,)))
    if answer.bound:
        lines.append(f"  {say('bound')}: {answer.bound}")
    if answer.would_pass:
        until = f" ({both(answer.release_at)})" if answer.release_at else ""
        lines.append(f"  {say('would_pass')}: {answer.would_pass}")
        lines.append(f"  {say('released_by')}: {say.release(answer.release)}{until}")
    lines += _compared(answer.compared, answer.equal, say)
    return "\n".join(lines)


def _compared(pairs: tuple[Compared, ...], equal: bool | None, say: Say) -> Iterator[str]:
    if equal is None:
        yield f"  {say('not_computed')}"
        return
    names = ", ".join(pair.key for pair in pairs)
    yield f"  {say('equal') if equal else say('differs')} ({names})"
    for pair in pairs:
        if not pair.equal:
            yield f"    ✗ {pair.key}: {pair.recomputed} ≠ {pair.journal}"
