"""The settings themselves: what loads, what is refused and how it says so, where values come from."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from flowguardian.ops.loading import ConfigError, Loaded, canonical, load, settings_from
from flowguardian.ops.settings import NotADuration, Settings, duration_seconds

ROOT = Path(__file__).resolve().parents[2]
V61 = ROOT / "configs" / "scalping" / "real_paper_12h_v6_1_phase17.yml"


def loaded(folder: Path, text: str, *sets: str, env: dict[str, str] | None = None) -> Loaded:
    path = folder / "c.yml"
    path.write_text(text, encoding="utf-8")
    return load(path, sets, env or {})


def refused(folder: Path, text: str, *sets: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, *sets, env=env)
    return str(caught.value).replace(str(folder / "c.yml"), "c.yml")


V61_VALUES: dict[str, dict[str, object]] = {
    "account": {"equity": 50_000},
    "fees": {"taker": 0.0004, "maker": 0.0002},
    "execution": {"slippage": 0.0005, "max_slippage": 0.001, "latency_min_ms": 20, "latency_max_ms": 120},
    "paper": {"duration_hours": 12, "duration_mode": "wall_clock", "clean_start": True},
    "position_sizing": {
        "min_position_notional": 100,
        "max_position_notional": 15_000,
        "multi_position_scaling": True,
        "exposure_reduction_factor": 0.95,
        "allow_partial_entry": True,
        "context_scaling": {
            "enabled": True,
            "atr_low_pct": 0.004,
            "atr_high_pct": 0.02,
            "low_vol_mult": 1.2,
            "high_vol_mult": 0.7,
        },
    },
    "risk": {
        "max_drawdown_pct": 25,
        "max_positions": 3,
        "per_trade": 0.003,
        "max_exposure_per_symbol": 0.35,
        "max_exposure_pct": 0.95,
        "max_daily_loss_pct": 5,
        "max_consecutive_losses": 6,
        "loss_pause_minutes": 30,
    },
    "portfolio": {
        "symbol_cooldown_seconds": 90,
        "max_total_exposure": 0.95,
        "max_strategy_positions": 5,
        "budget": {"default_allocation": 0.25, "strategy_allocation": {"scalping": 0.25}},
    },
    "universe": {
        "symbols": ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "ADAUSDT"],
        "timeframe": "1m",
    },
    "acceptance": {
        "min_run_hours": 12,
        "min_entries": 100,
        "min_budget_caps": 1,
        "max_budget_block_pct": 30,
    },
}


def test_the_v6_1_file_holds_its_values() -> None:
    effective = load(V61, env={}).effective
    scalping = effective["strategies"]["scalping"]
    params = scalping.pop("params")
    for name, values in V61_VALUES.items():
        assert values.items() <= effective[name].items(), name
    assert (effective["enable_vol_spike_filter"], effective["vol_spike_mult"]) == (False, 4)
    assert {
        "entry_cooldown_seconds": 20,
        "max_hold_minutes": 30,
        "break_even_trigger_r": 0,
    }.items() <= scalping.items()
    ema: dict[str, object] = {"ema_fast": 9, "ema_mid": 21, "ema_slow": 50}
    rsi = {"rsi_period": 14, "rsi_low": 25, "rsi_high": 75, "volume_period": 30, "volume_mult": 1.5}
    exits = {"atr_period": 14, "stop_atr": 1.2, "target_rr": 1.8, "min_rr": 1.2, "partial_targets": False}
    sides = {"trailing": False, "allow_long": True, "allow_short": True, "pattern_a": True, "pattern_b": True}
    assert (ema | rsi | exits | sides).items() <= params.items()


def test_the_demo_file_loads_without_a_warning() -> None:
    assert load(ROOT / "configs" / "demo.yml", env={}).warnings == ()


def test_a_guard_without_tops_may_be_switched_off() -> None:
    sets = ["market.expand=path", "guards.spread.enabled=false", "guards.price_sanity.enabled=false"]
    settings = load(None, [*sets, "guards.stale_data.max_top_age_seconds=0"], {}).settings
    assert settings.market.expand == "path"


def test_numbers_are_read_from_their_digits(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "fees: {taker: 0.1, maker: 1e-4}\naccount: {equity: 50_000.10}\n").settings
    assert settings.fees.taker == Decimal("0.1")
    assert settings.fees.maker == Decimal("0.0001")
    assert settings.account.equity == Decimal("50000.1")


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    text = (
        "risk:\n  max_positions: 2\n  per_trade: ${RISK}\nuniverse:\n  symbols: [BTCUSDT, ETHUSDT]\nfees:\n"
    )
    found = loaded(tmp_path, text, "risk.max_daily_loss_pct=4", env={"RISK": "0.002"})
    assert found.settings.risk.per_trade == Decimal("0.002")
    assert found.origins["risk.max_positions"] == "file:2"
    assert found.origins["risk.per_trade"] == "env RISK"
    assert found.origins["risk.max_daily_loss_pct"] == "--set"
    assert found.origins["universe.symbols"] == "file:5"
    assert found.origins["fees.taker"] == "default"
    assert found.origins["strategies.scalping.params.ema_fast"] == "default"


def test_a_later_set_wins_and_reaches_into_names(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "strategies: {scalping: {params: {ema_fast: 8, ema_mid: 20}}}\n",
        "strategies.scalping.params.ema_fast=7",
        "strategies.scalping.params.ema_fast=6",
    )
    params = found.settings.strategies["scalping"].params
    assert (params["ema_fast"], params["ema_mid"]) == (6, 20)
    assert found.origins["strategies.scalping.params.ema_fast"] == "--set"
    assert found.origins["strategies.scalping.params.ema_mid"] == "file:1"


def test_an_overlay_leaves_nested_blocks_alone(tmp_path: Path) -> None:
    """The earlier system merged one level deep: naming one key of a block lost the others."""
    text = "portfolio:\n  budget:\n    strategy_allocation: {scalping: 0.2}\n  max_total_exposure: 0.9\n"
    found = loaded(tmp_path, text, "portfolio.budget.default_allocation=0.1", "portfolio=")
    portfolio = found.settings.portfolio
    assert portfolio.budget.strategy_allocation == {"scalping": Decimal("0.2")}
    assert portfolio.budget.default_allocation == Decimal("0.1")
    assert portfolio.max_total_exposure == Decimal("0.9")


def test_a_name_that_is_not_set_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    said = refused(tmp_path, "market:\n  source: bars:${DATA}/x.parquet\n")
    assert said.startswith("c.yml:2: market.source: ${DATA} is not set")
    assert ".env" in said
    assert "${no name} is not set" in refused(tmp_path, "market:\n  source: bars:${no name}/x\n")


def test_a_name_is_found_in_the_env_file_unless_the_environment_has_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeff# 설정\nexport A='경로 # 1'\nB=b # note\n\nC=\n", encoding="utf-8")
    text = "market: {source: 'bars:${A}/${B}.parquet'}\n"
    assert loaded(tmp_path, text).settings.market.source == "bars:경로 # 1/b.parquet"
    assert loaded(tmp_path, text, env={"B": "c"}).settings.market.source == "bars:경로 # 1/c.parquet"
    assert "${C} is not set" in refused(tmp_path, "market: {source: 'bars:${C}'}\n")


def test_a_broken_env_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nwhat is this\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.env:2: expected NAME=VALUE"):
        loaded(tmp_path, "")
    (tmp_path / ".env").write_bytes("A=한".encode("cp949"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        loaded(tmp_path, "")


def test_notifications_without_a_name_are_off_with_one_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, "notify:\n  urls:\n    - ${BOT}\n    - ${MAIL}\n")
    assert found.settings.notify.urls == ()
    about = [line for line in found.warnings if "notify" in line]
    assert len(about) == 1
    assert "off, ${BOT}, ${MAIL} is not set" in about[0] and "c.yml:3" in about[0]


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    token = "tgram://s3cr3t"
    text = "notify:\n  urls: ['${BOT}']\n"
    found = loaded(tmp_path, text, env={"BOT": token})
    assert found.settings.notify.urls == (token,)
    assert found.effective["notify"]["urls"] == "***"
    assert found.origins["notify.urls"] == "env BOT"
    assert token not in repr(found.effective) + repr(found.origins) + repr(found.warnings)
    assert found.config_hash == loaded(tmp_path, text, env={"BOT": "tgram://other"}).config_hash
    for wrong in (
        "notify:\n  urls: '${BOT}'\n",
        "risk:\n  per_trade: '${BOT}'\n",
        f"notify:\n  urls: {token}\n",
    ):
        assert "s3cr3t" not in refused(tmp_path, wrong, env={"BOT": token})


def test_the_effective_configuration_is_complete_and_gives_the_same_settings() -> None:
    found = load(V61, env={})
    text = json.dumps(found.effective)
    assert settings_from(json.loads(text)) == found.settings
    assert settings_from(canonical(found.effective)) == found.settings
    assert found.config_hash == hashlib.sha256(canonical(found.effective)).hexdigest()
    assert None not in (
        found.effective["guards"]["warmup"]["bars"],
        found.effective["strategies"]["scalping"]["max_hold_minutes"],
    )


def test_the_hash_is_of_the_values_not_of_how_they_are_written(tmp_path: Path) -> None:
    one = loaded(tmp_path, "account: {equity: 50000}\nrisk:\n  per_trade: 0.003\n")
    other = loaded(tmp_path, "risk: {per_trade: 3.0e-3}\naccount: {equity: 50000.00}\n", "fees.taker=0.0004")
    assert one.config_hash == other.config_hash == load(None, env={}).config_hash


def test_the_trading_hash_ignores_what_does_not_trade() -> None:
    plain = load(None, env={})
    for same in (
        "run.directory=elsewhere",
        "market.source=synthetic:9",
        "acceptance.min_entries=1",
        "account.equity=60000",
    ):
        changed = load(None, [same], {})
        assert changed.trading_hash == plain.trading_hash, same
        assert changed.config_hash != plain.config_hash, same
    for other in (
        "strategies.scalping.params.rsi_low=20",
        "strategies.scalping.entry_cooldown_seconds=21",
        "guards.spread.max_bps=14",
        "vol_spike_mult=5",
        "position_sizing.min_position_notional=101",
        "risk.per_trade=0.002",
        "portfolio.symbol_cooldown_seconds=91",
        "universe.symbols=[BTCUSDT, ETHUSDT, XRPUSDT]",
        "fees.taker=0.0005",
        "execution.latency_max_ms=121",
    ):
        assert load(None, [other], {}).trading_hash != plain.trading_hash, other


def test_a_strategy_from_a_file_is_checked_and_hashed_with_its_text(tmp_path: Path) -> None:
    source = (ROOT / "flowguardian" / "strategies" / "first_example.py").read_text(encoding="utf-8")
    file = tmp_path / "mine.py"
    file.write_text(source, encoding="utf-8")
    text = f"strategies:\n  {json.dumps(file.as_posix())}:\n    params: {{bars: 30}}\n"
    before = loaded(tmp_path, text)
    assert before.settings.strategies[file.as_posix()].params == {"bars": 30}
    file.write_text(source + "# changed\n", encoding="utf-8")
    assert loaded(tmp_path, text).trading_hash != before.trading_hash


def test_a_file_that_is_missing_or_not_utf8_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yml: there is no such file"):
        load(tmp_path / "no.yml", env={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, env={})
    (tmp_path / "k.yml").write_bytes("# 설정\n".encode("cp949"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "k.yml", env={})


def test_settings_cannot_be_changed_and_defaults_stand_alone() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.vol_spike_mult = Decimal(1)  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.risk.max_positions = 9  # type: ignore[misc]
    assert Settings.model_validate({}) == settings


def test_a_start_in_another_zone_is_the_same_moment() -> None:
    utc = load(None, ["market.start=2025-05-21T13:50Z"], {}).settings.market.start_ns
    seoul = load(None, ["market.start=2025-05-21T22:50+09:00"], {}).settings.market.start_ns
    assert utc == seoul == 1_747_835_400_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h", 43_200),
        ("60m", 3600),
        ("90s", 90),
        ("1h30m", 5400),
        ("0.5h", 1800),
        (" 10M ", 600),
        ("2d", 172_800),
    ],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "12", "h", "12x", "0s", "-5m", "1h 30", "0.5s", "nan", "1.2.3h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(NotADuration):
        duration_seconds(text)


def test_importing_the_settings_does_not_import_numba() -> None:
    code = "import sys, flowguardian.ops.loading; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.stdout.strip() == "False", done.stderr
