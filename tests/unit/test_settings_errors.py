"""Nonsense in a configuration: refused with its place, its key, what was expected, the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.ops.loading import ConfigError, load

PARAMS = "strategies:\n  scalping:\n    params:\n      "


def refused(folder: Path, text: str) -> str:
    path = folder / "c.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, (), {})
    return str(caught.value).replace(str(path), "c.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("risk:\n  max_positons: 3\n", "c.yml:2: risk.max_positons: unknown key"),
        ("risk:\n  max_positons: 3\n", "found 3; did you mean risk.max_positions?"),
        ("portfolio:\n  max_positions: 3\n", "did you mean risk.max_positions?"),
        ("strategies:\n  scalping:\n    rsi_low: 20\n", "did you mean strategies.scalping.params.rsi_low?"),
        ("risk:\n  max_positions: three\n", "c.yml:2: risk.max_positions: expected a whole number ≥ 1"),
        ("risk:\n  max_positions: three\n", "found the text 'three'"),
        ("risk:\n  max_positions: 3.0\n", "expected a whole number"),
        ("risk:\n  max_positions: true\n", "found true"),
        ("risk:\n  max_positions: 0\n", "expected a whole number ≥ 1 and ≤ 1000; found 0"),
        ("risk: 5\n", "c.yml:1: risk: expected a block with the keys max_drawdown_pct"),
        ("account:\n  equity: '50000'\n", "expected a number > 0 and ≤ 1000000000; found the text '50000'"),
        ("account:\n  equity: .nan\n", "account.equity: expected a number"),
        ("account:\n  equity: -.inf\n", "account.equity: expected a number"),
        ("fees:\n  taker: 0.000000001\n", "expected at most 8 decimals"),
        ("fees:\n  taker: 0.00040000000000000000000000000000000001\n", "expected at most 8 decimals"),
        ("account:\n  equity: 123456789.12345678\n", "and 15 digits"),
        ("account:\n  equity: " + "9" * 5000 + "\n", "account.equity"),
        ("paper:\n  clean_start: yes\n", "expected true or false; found the text 'yes'"),
        ("paper:\n  duration_mode: realtime\n", "expected wall_clock or market_time"),
        ("universe:\n  symbols: BTCUSDT\n", "c.yml:2: universe.symbols: expected a list of texts"),
        ("universe:\n  symbols: []\n", "c.yml:2: universe.symbols: expected a list of texts at least 1"),
        ("universe:\n  symbols:\n    - BTCUSDT\n    - 5\n", "c.yml:4: universe.symbols.1: expected a list"),
        ("universe:\n  symbols: [BTCUSDT, BTCUSD]\n", "universe.symbols.1: expected a known symbol"),
        ("universe:\n  symbols: [BTCUSDT, BTCUSDT]\n", "expected each symbol once"),
        ("market:\n  source: exchange\n", "market.source: expected synthetic:SEED"),
        ("market:\n  source: 'synthetic:x'\n", "market.source: expected synthetic:SEED"),
        ("market:\n  start: 2025-05-21T13:50\n", "expected a time with its zone"),
        ("market:\n  speed: -1\n", "market.speed: expected max or a number > 0"),
        ("market:\n  speed: fast\n", "market.speed: expected a number or max"),
        ("acceptance:\n  ideal_budget_block_pct: [20, 10]\n", "the smaller one first"),
        ("strategies:\n  scalpin: {}\n", "c.yml:2: strategies.scalpin: unknown strategy"),
        ("strategies:\n  scalpin: {}\n", "did you mean strategies.scalping?"),
        ("strategies: {}\n", "at least one strategy"),
        ("strategies:\n  scalping:\n    enabled: false\n", "at least one strategy"),
        (PARAMS + "ema_fat: 9\n", "c.yml:4: strategies.scalping.params.ema_fat: unk"),
        (PARAMS + "ema_fat: 9\n", "did you mean strategies.scalping.params.ema_fast"),
        (PARAMS + "ema_fast: 9.5\n", "expected a whole number from 1 to 500"),
        (PARAMS + "rsi_low: 90\n", "expected a number from 0 to 50; found 90"),
        (PARAMS + "ema_fast: 60\n", "the EMAs must grow"),
        (PARAMS + "rsi_low: {a: 1}\n", "c.yml:4: strategies.scalping.params.rsi_low"),
        (PARAMS + "rsi_low: .nan\n", "expected a number from 0 to 50"),
        ("guards:\n  warmup:\n    bars: 10\n", "guards.warmup.bars: expected at least 50"),
        ("- a\n", "expected keys and values"),
        ("just text\n", "expected keys and values"),
        ("risk: [\n", "c.yml:2: this is not YAML"),
        ("risk:\n\tmax_positions: 3\n", "c.yml:2: this is not YAML"),
        ("a: !!python/object:os.system x\n", "found the tag"),
        ("a: &x [*x]\n", "nested too deeply"),
        ("a: " + "[" * 5000 + "\n", "YAML"),
        ("? [a]\n: 1\n", "expected a name as key"),
        ("risk:\n  per_trade: 1\nrisk:\n  max_positions: 2\n", "c.yml:3: risk: this key stands twice, first"),
        ("risk: \x01\n", "this is not YAML"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_place_key_and_what_was_expected(
    tmp_path: Path, text: str, message: str
) -> None:
    said = refused(tmp_path, text).replace(
        "this is nested too deeply to be a configuration", "nested too deeply YAML"
    )
    assert message in said
    assert said.startswith("c.yml")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["position_sizing.min_position_notional=20000"], "at most max_position_notional (15000)"),
        (["portfolio.budget.strategy_allocation={scalping: 0.6, ema_cross: 0.5}", "strategies.ema_cross={}",
          "strategies.scalping={}"], "shares that sum to 1 at most; those of ema_cross, scalping sum to 1.1"),
        (["portfolio.budget.strategy_allocation={scalpin: 1}"], "budget.strategy_allocation.scalping?"),
        (["portfolio.budget.strategy_allocation.scalping=2"], "a number > 0 and ≤ 1; found 2"),
        (["portfolio.budget.default_allocation=0.005"], "it leaves 83.33 USDT"),
        (["risk.max_exposure_per_symbol=0.001"], "room for one entry"),
        (["market.tops_per_minute=0"], "guards.spread.enabled: expected false: there are no bids and asks"),
        (["market.tops_per_minute=0", "guards.spread.enabled=false"], "guards.price_sanity.enabled"),
        (["market.expand=path", "guards.spread.enabled=false", "guards.price_sanity.enabled=false"],
         "guards.stale_data.max_top_age_seconds: expected 0"),
        (["execution.latency_min_ms=500"], "at most latency_max_ms (120)"),
        (["execution.slippage=0.01"], "no entry could ever fill"),
        (["execution.leverage=125", "execution.maintenance_margin=0.01"], "liquidated at once"),
        (["position_sizing.context_scaling.atr_low_pct=0.02"], "less than atr_high_pct"),
        (["strategies.scalping.allow_add=true"], "more than 0 with it"),
        (["strategies.scalping={}", "strategies.ema_cross.entry_cooldown_seconds=5"], "the same value in"),
        (["strategies.scalping.max_hold_minutes=20", "strategies.scalping.params.max_hold_minutes=30"],
         "leave it out here"),
        (["strategies.scalping.max_hold_minutes=0"], "hold_minutes: expected a whole number from 1 to 10080"),
        (["run.hang_timeout_seconds=1"], "more than heartbeat_seconds"),
        (["vol_spike_mult=0.1"], "more than guards.volume.thin_mult"),
        (["risk.max_positons=3"], "--set risk.max_positons: risk.max_positons: unknown key"),
        (["risk.max_positons=3"], "did you mean risk.max_positions?"),
        (["risk.max_positions"], "expected KEY=VALUE"),
        (["=3"], "expected KEY=VALUE"),
        (["risk..a=3"], "expected KEY=VALUE"),
        (["risk.max_positions=["], "this is not YAML"),
        (["risk.max_positions=1e400"], "expected a whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_together_is_refused(sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, sets, {})
    assert message in str(caught.value)


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    lines = refused(tmp_path, "risk:\n  per_trade: x\n  max_positions: 0\nfees:\n  take: 1\n").splitlines()
    assert sorted(line.split(": ")[1] for line in lines) == [
        "fees.take",
        "risk.max_positions",
        "risk.per_trade",
    ]
