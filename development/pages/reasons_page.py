"""`docs/reference/reason-codes.md`: why an entry is refused or reduced, one section per code.

Rule: triggers, scopes and releases come from the guards' own docstrings and source. What only a person can
say, one line in Korean and the settings behind a code, stands here; a code without it is an error.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import NamedTuple

from flowguardian.cli.messages import REASONS, RELEASES
from flowguardian.execution import position_sizer
from flowguardian.execution.events import Reason
from flowguardian.guards import GUARDS
from flowguardian.guards.base import Release
from flowguardian.ops.limits import ALWAYS

PAGE = Path("docs/reference/reason-codes.md")


class Said(NamedTuple):
    """What the source does not say: one line in Korean, and the keys of the settings that set the limit."""

    korean: str
    keys: tuple[str, ...] = ()


class Step(NamedTuple):
    """A code of the sizing, which has no guard: trigger, scope, rule."""

    trigger: str
    scope: str
    rule: str


SAID: dict[Reason, Said] = {
    Reason.READY_GATE: Said("시스템이 READY가 아니거나 거래 상태가 ACTIVE가 아닙니다."),
    Reason.WARMUP: Said(
        "지표에 필요한 봉이 아직 모자라거나, 데이터를 잃은 심볼이 다시 준비 중입니다.",
        ("guards.warmup.bars",),
    ),
    Reason.STALE_DATA: Said(
        "심볼의 마지막 체결이나 호가가 너무 오래되었거나, 데이터 스트림이 침묵 중입니다.",
        ("guards.stale_data.max_trade_age_seconds", "guards.stale_data.max_top_age_seconds"),
    ),
    Reason.STALE_SIGNAL: Said(
        "신호를 낸 봉이 닫힌 지 너무 오래되었습니다.", ("guards.stale_signal.max_age_seconds",)
    ),
    Reason.CLOCK_SKEW: Said("우리 시계와 거래소 시계가 너무 다릅니다.", ("guards.clock_skew.max_ms",)),
    Reason.SIGNAL_IDEMPOTENCY: Said("같은 심볼, 전략, 방향으로 이 봉에서 이미 진입했습니다."),
    Reason.DUPLICATE_ENTRY: Said(
        "심볼에 이미 포지션이나 끝나지 않은 진입 주문이 있습니다.",
        ("strategies.<name>.allow_add", "strategies.<name>.max_adds"),
    ),
    Reason.FLASH_MOVE: Said("신호를 낸 봉이 너무 크게 움직였습니다.", ("guards.flash_move.max_move_pct",)),
    Reason.VOLUME: Said(
        "봉의 거래량이 평균에 비해 너무 많거나 너무 적습니다.",
        ("enable_vol_spike_filter", "vol_spike_mult", "guards.volume.thin_mult"),
    ),
    Reason.SPREAD: Said("매수·매도 호가 차이가 너무 크거나 호가가 없습니다.", ("guards.spread.max_bps",)),
    Reason.PRICE_SANITY: Said(
        "결정 가격이 호가 중간값에서 너무 멉니다.", ("guards.price_sanity.max_deviation_pct",)
    ),
    Reason.SYMBOL_COOLDOWN: Said(
        "이 심볼의 포지션이 방금 닫혔습니다.", ("portfolio.symbol_cooldown_seconds",)
    ),
    Reason.STRATEGY_COOLDOWN: Said(
        "이 전략이 방금 진입했습니다.", ("strategies.<name>.entry_cooldown_seconds",)
    ),
    Reason.CONSECUTIVE_LOSSES: Said(
        "손실이 연속되어 진입을 잠시 쉽니다.", ("risk.max_consecutive_losses", "risk.loss_pause_minutes")
    ),
    Reason.DAILY_LOSS: Said("UTC 하루의 손실이 한도에 닿았습니다.", ("risk.max_daily_loss_pct",)),
    Reason.DRAWDOWN: Said("자산이 최고점에서 한도만큼 내려왔습니다.", ("risk.max_drawdown_pct",)),
    Reason.MAX_POSITIONS: Said("계좌의 포지션 수가 한도에 닿았습니다.", ("risk.max_positions",)),
    Reason.MAX_STRATEGY_POSITIONS: Said(
        "전략의 포지션 수가 한도에 닿았습니다.", ("portfolio.max_strategy_positions",)
    ),
    Reason.SIZING: Said("손절 거리가 없어 크기를 계산할 수 없습니다.", ("risk.per_trade",)),
    Reason.EXPOSURE: Said(
        "노출 한도의 여유가 최소 주문보다 작거나, 여유만큼 줄여서 들어갑니다.",
        ("risk.max_exposure_per_symbol", "risk.max_exposure_pct", "portfolio.max_total_exposure"),
    ),
    Reason.PORTFOLIO_BUDGET: Said(
        "전략 예산에서 이 진입이 쓸 수 있는 몫이 최소 주문보다 작습니다.",
        (
            "portfolio.budget.strategy_allocation",
            "portfolio.budget.default_allocation",
            "position_sizing.allow_partial_entry",
        ),
    ),
    Reason.VENUE_FILTERS: Said(
        "거래소 단위로 내림하면 최소 수량이나 최소 금액에 못 미칩니다.",
        ("position_sizing.min_position_notional",),
    ),
}

STEPS: dict[Reason, Step] = {
    Reason.SIZING: Step(
        "Refuses a signal without a stop distance above zero: risk per trade cannot be turned into a "
        "quantity.",
        "this signal",
        "Quantity = risk money ÷ stop distance, at most the largest notional; each later step only "
        "makes it smaller.",
    ),
    Reason.EXPOSURE: Step(
        "Refuses when the room left in the symbol or in all symbols is below the smallest order; with more "
        "room than that but less than wanted the entry is reduced to it, and the row is `EntryReduced`.",
        "symbol and account",
        "Room = share of equity − value of open positions and reserved entry orders; the tighter of "
        "symbol and account holds.",
    ),
    Reason.PORTFOLIO_BUDGET: Step(
        "Refuses when available budget ÷ slots is below the smallest order; with more than that but less "
        "than wanted the entry is cut to it, and the row is `BudgetCapped`. Without `allow_partial_entry` it "
        "refuses instead.",
        "strategy",
        "Available = allocation × balance − (entry value of open positions + reservations). See "
        "[reading the budget](../guides/reading-the-budget.md).",
    ),
    Reason.VENUE_FILTERS: Step(
        "Refuses when the quantity, rounded down to the venue's step, is below its smallest quantity "
        "or value.",
        "this signal",
        "Rounding is always down and has the last word.",
    ),
}

HEAD = """# Reason codes

Generated from the `Reason` enum, the guards and the sizer by `python -m development.pages`; do not edit.

Every attempt to enter ends in one row: `OrderRequested`, or `EntryRefused` with one of these codes. They
stand in the order in which an entry meets them; the first that refuses ends the attempt. Guards see entries
only: no code can hold back an exit. Codes are English everywhere, in the journal, in `--json` and in logs;
Korean texts carry them in brackets: 한국어 (CODE).

*Always on* means that there is no switch. The others can be disabled; then they run in shadow: still
evaluated, what they would have refused is counted (`shadow`), and nothing is refused. `flowguardian why
RUN` shows the counters of a run, `flowguardian explain SEQ RUN` the arithmetic of one refusal. `limit` and
`value` of an `EntryRefused` row are for people: seconds, ratios or counts, and from `exposure` on USDT ×
1e-8; decisions compare exact integers.
"""


def page_text() -> str:
    """The whole page."""
    rows = ["| # | code | 한국어 (CODE) | can be switched off |", "|---:|---|---|---|"]
    for place, code in enumerate(Reason, 1):
        rows.append(f"| {place} | [`{code}`](#{code}) | {REASONS[code]} ({code}) | {_switch(code)} |")
    return "\n".join([HEAD, *rows, "", *(_section(code) for code in Reason)])


def _switch(code: Reason) -> str:
    return "yes" if code in GUARDS and code not in ALWAYS else "no, always on"


def _section(code: Reason) -> str:
    step = STEPS[code] if code in STEPS else _of_guard(code)
    said = SAID[code]
    keys = ", ".join(f"`{key}`" for key in said.keys) or "none"
    lines = [
        f"## {code}",
        "",
        step.trigger,
        "",
        f"{REASONS[code]} ({code}): {said.korean}",
        "",
        f"- **Rule**: {step.rule}",
        f"- **Scope**: {step.scope}",
        f"- **Released by**: {_released(code)}",
        f"- **Settings**: {keys}",
        f"- **Switch**: {'can be disabled, runs in shadow then' if _switch(code) == 'yes' else 'always on'}",
        "",
    ]
    return "\n".join(lines)


def _of_guard(code: Reason) -> Step:
    guard = GUARDS[code]
    text = " ".join(line.strip() for line in str(guard.__doc__).strip().splitlines())
    found = re.match(r"(.+?); scope: ([^.]+)\.\s*(.*)", text)
    if found is None:
        raise ValueError(f"{code}: the guard's docstring must read 'Refuses ...; scope: WHAT.'")
    trigger = f"{found[1]}. {found[3]}".strip()
    about = " ".join(str(sys.modules[guard.__module__].__doc__).split())
    return Step(trigger, found[2], about.partition("Rule: ")[2])


def _released(code: Reason) -> str:
    """What the source of a guard (of the sizer, for one code) names as release, in both languages."""
    module = sys.modules[GUARDS[code].__module__] if code in GUARDS else position_sizer
    source = inspect.getsource(module)
    if code in STEPS:
        source = "\n".join(re.findall(rf"Reason\.{code.name},.*?Release\.[A-Z_]+", source, re.DOTALL))
    names = dict.fromkeys(re.findall(r"Release\.([A-Z_]+)", source))
    if not names:
        raise ValueError(f"{code}: nothing releases it")
    return "; ".join(_words(Release[name]) for name in names)


def _words(release: Release) -> str:
    english, korean = RELEASES[release]
    return f"{english} · {korean} (`{release}`)"
