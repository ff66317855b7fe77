"""The texts of the command line, English and Korean side by side.

Rule: a key has both languages; a sentence for people, never a code or a JSON key.
"""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, tuple[str, str]]] = {
    # why
    "why_title": ("Why {run_id} trades or does not", "{run_id}: 거래가 있거나 없는 이유"),
    "funnel": ("Funnel", "깔때기 (funnel)"),
    "step": ("step", "단계"),
    "evaluated": ("evaluated", "평가"),
    "allowed": ("allowed", "통과"),
    "reduced": ("reduced", "축소"),
    "refused": ("refused", "거절"),
    "shadow": ("shadow", "그림자"),
    "signals": ("signals", "신호 (signals)"),
    "attempts": ("attempts", "진입 시도 (attempts)"),
    "group_guard": ("guards", "가드 (guards)"),
    "group_size": ("size", "크기 (size)"),
    "group_budget": ("budget", "예산 (budget)"),
    "group_venue": ("venue", "거래소 (venue)"),
    "orders": ("orders", "주문 (orders)"),
    "fills": ("Entry SUCCESS", "진입 성공 (Entry SUCCESS)"),
    "unfilled": (
        "unfilled: {expired} expired, {rejected} rejected, {unsent} unsent, {unknown} unknown, {open} open",
        "미체결: 만료 {expired}, 거부 {rejected}, 미전송 {unsent}, 불명 {unknown}, 대기 {open}",
    ),
    "off": ("(off, shadow only)", "(꺼짐, 그림자만)"),
    "caps": ("Budget Cap Applied", "예산 제한 적용 (Budget Cap Applied)"),
    "blocks": ("Portfolio Budget BLOCK", "포트폴리오 예산 차단 (Portfolio Budget BLOCK)"),
    "last_refusals": ("Last refusal of each guard", "가드별 마지막 거절"),
    "no_refusal": ("no refusal", "거절 없음"),
    "limit": ("limit", "한도"),
    "value": ("value", "값"),
    "count": ("count", "횟수"),
    "released": ("released", "해제됨"),
    "starvation": ("Guard starvation", "가드 기아 (GuardStarvation)"),
    "no_starvation": ("none", "없음"),
    "starved": (
        (
            "row {seq}: {signals} signals since {since} and no entry; {guard} refused {refusals}; "
            "released by: {release}"
        ),
        "행 {seq}: {since}부터 신호 {signals}개, 진입 없음; {guard} 거절 {refusals}회; 해제: {release}",
    ),
    "longest_gap": ("Longest time without an entry", "진입 없는 가장 긴 시간"),
    "gap": (
        "{duration} ({start} → {end}): {signals} signals, refused: {refused}",
        "{duration} ({start} → {end}): 신호 {signals}개, 거절: {refused}",
    ),
    "why_now": ("Why no trade now", "지금 거래가 없는 이유"),
    "now_ended": ("the run is over ({reason})", "실행이 끝났습니다 ({reason})"),
    "now_not_live": (
        "the run is not live yet: history is warming the indicators",
        "아직 시작 전: 과거 데이터로 지표를 준비하고 있습니다",
    ),
    "now_halted": (
        "entries are switched off: {state} ({reason}); `resume` switches them on",
        "진입이 꺼져 있습니다: {state} ({reason}); `resume`으로 다시 켭니다",
    ),
    "now_held": (
        "{code} holds entries back; released by: {release}",
        "{code}이(가) 진입을 막고 있습니다; 해제: {release}",
    ),
    "until": (", at the latest {at}", ", 늦어도 {at}"),
    "now_no_signal": (
        "no signal since {at}: the strategy sees no entry",
        "{at} 이후 신호 없음: 전략이 진입 기회를 찾지 못했습니다",
    ),
    "now_refused": (
        "the last signal ({symbol}) was refused by {code}; released by: {release}",
        "마지막 신호({symbol})를 {code}이(가) 거절했습니다; 해제: {release}",
    ),
    "now_free": (
        "nothing holds entries back; the last signal came {at}",
        "진입을 막는 것이 없습니다; 마지막 신호 {at}",
    ),
    "also_held": ("also held", "그 밖에 막힌 것"),
    # status
    "state": ("State", "상태"),
    "mode": ("Mode", "모드"),
    "verdict": ("Verdict", "판정"),
    "run_time": ("Run time", "실행 시간"),
    "wall_clock": ("wall clock", "실제 시간"),
    "market_time": ("Market time", "시장 시간"),
    "equity": ("Equity", "자산"),
    "equity_at": ("as of", "기준"),
    "budget": ("Budget", "예산"),
    "budget_line": (
        "{strategy}: {used} used of {allocated}, {available} available ({reserved} reserved)",
        "{strategy}: {allocated} 중 {used} 사용, {available} 남음 (예약 {reserved})",
    ),
    "positions": ("Open positions", "보유 포지션"),
    "none": ("none", "없음"),
    "trading": ("Trading state", "거래 상태"),
    "last_trade": ("Last trade", "마지막 거래"),
    "last_refusal": ("Last refusal", "마지막 거절"),
    "next_checkpoint": ("Next checkpoint", "다음 체크포인트"),
    "segment": ("Segment", "구간 (segment)"),
    "restarts": ("{count} restarts", "재시작 {count}회"),
    "process": ("Process", "프로세스"),
    "not_alive": ("none is alive", "살아 있는 것 없음"),
    # explain
    "explain_entry": (
        "Row {seq}: {side} {symbol} entered ({strategy}), {at}",
        "행 {seq}: {side} {symbol} 진입 ({strategy}), {at}",
    ),
    "explain_refused": (
        "Row {seq}: {side} {symbol} refused by {code} ({strategy}), {at}",
        "행 {seq}: {side} {symbol} 거절 {code} ({strategy}), {at}",
    ),
    "from_signal": ("signal: row {seq}", "신호: 행 {seq}"),
    "bound": ("bound by", "크기를 정한 것"),
    "would_pass": ("would have let it in", "들어갈 수 있었던 조건"),
    "released_by": ("released by", "해제"),
    "equal": ("recomputed = journal ✓", "다시 계산 = 저널 ✓"),
    "differs": ("recomputed = journal ✗", "다시 계산 = 저널 ✗"),
    "not_computed": (
        "recomputed = journal –: the rows do not hold what the guard saw",
        "다시 계산 = 저널 –: 가드가 본 값이 행에 없습니다",
    ),
    "line_equity": ("equity = balance + unrealised", "자산 = 잔고 + 미실현"),
    "line_limit_price": ("limit price", "지정가"),
    "line_atr": ("ATR / price", "ATR / 가격"),
    "line_risk": ("risk money", "위험 금액"),
    "line_risk_qty": ("÷ stop distance = quantity", "÷ 손절 거리 = 수량"),
    "line_most_qty": ("most by notional", "최대 명목 수량"),
    "line_wanted": ("wanted, with fee", "원하는 금액, 수수료 포함"),
    "line_symbol_room": ("room of the symbol", "심볼 여유"),
    "line_total_room": ("room in all", "전체 여유"),
    "line_reduced": ("reduced by exposure", "노출로 축소"),
    "line_allocated": ("allocation", "배정 예산"),
    "line_available": ("− used = available", "− 사용 = 남은 예산"),
    "line_cap": ("÷ slots = cap", "÷ 슬롯 = 상한"),
    "line_capped": ("cut by the budget", "예산으로 축소"),
    "line_qty": ("rounded down to the step", "수량 단위로 내림"),
    "line_notional": ("order value", "주문 금액"),
    "line_reserved": ("reserved, with fee", "예약, 수수료 포함"),
    "line_guard": ("value / limit", "값 / 한도"),
    "pass_guard": ("{release}", "{release}"),
    "pass_sizing": ("a stop distance above zero", "0보다 큰 손절 거리"),
    "pass_exposure": (
        "{short} USDT more room: there was {room}, the smallest order is {least}",
        "여유 {short} USDT 추가: 여유 {room}, 최소 주문 {least}",
    ),
    "pass_budget": (
        (
            "{short} USDT more budget: {least} × {slots} slots = {needed} needed, {available} "
            "available ({cap} per slot)"
        ),
        "예산 {short} USDT 추가: {least} × 슬롯 {slots} = {needed} 필요, {available} 남음 (슬롯당 {cap})",
    ),
    "pass_venue": (
        "an order worth {least} USDT after rounding down; it was {value}",
        "내림 후 {least} USDT 이상의 주문; 실제 {value}",
    ),
    # verify, report, config, data
    "verified": ("{run_id}: {message}", "{run_id}: {message}"),
    "verify_ok": ("the run is reproduced", "실행이 그대로 재현됩니다"),
    "verify_bad": (
        "the run is NOT reproduced; row {row} differs",
        "실행이 재현되지 않습니다; 행 {row}이(가) 다릅니다",
    ),
    "other_code": (
        "the deciding code is not the one that made the run",
        "결정 코드가 이 실행을 만든 코드와 다릅니다",
    ),
    "report_at": ("report: {path}", "보고서: {path}"),
    "written": ("written: {path}", "작성함: {path}"),
    "next_command": ("next: {command}", "다음: {command}"),
    "shadowed": ("Limits that can never bind", "적용될 수 없는 한도"),
    "warnings": ("Warnings", "경고"),
    "interrupted": ("interrupted", "중단됨"),
    # runs
    "runs_none": ("there is no run in {folder}", "{folder} 에 실행이 없습니다"),
    "runs_sum": ("{count} runs, {size}", "실행 {count}개, {size}"),
    "runs_id": ("run", "실행 (run)"),
    "runs_kind": ("kind", "종류"),
    "runs_state": ("state", "상태"),
    "runs_verdict": ("verdict", "판정"),
    "runs_time": ("run time", "실행 시간"),
    "runs_entries": ("entries", "진입"),
    "runs_size": ("size", "크기"),
    "compare_rows_same": (
        "what was decided is the same row by row",
        "결정된 내용이 행마다 같습니다",
    ),
    "compare_rows_differ": (
        "what was decided differs from row {row} on",
        "결정된 내용이 행 {row}부터 다릅니다",
    ),
    "prune_ask": ("Delete these {count} runs ({size})?", "이 실행 {count}개({size})를 지울까요?"),
    "prune_kept": ("kept {run}: {why}", "{run} 유지: {why}"),
    "prune_would": ("{count} runs would be deleted ({size})", "실행 {count}개가 지워집니다({size})"),
    "prune_done": ("{count} runs deleted ({size})", "실행 {count}개를 지웠습니다({size})"),
    # doctor
    "doctor_ok": ("everything a start needs is there", "시작에 필요한 것이 모두 있습니다"),
    "doctor_fixed": (
        "everything a start needs is there; some of it was repaired",
        "시작에 필요한 것이 모두 있습니다; 일부는 고쳤습니다",
    ),
    "doctor_warn": (
        "a start is possible; look at the lines with !",
        "시작할 수 있습니다; ! 표시 줄을 보십시오",
    ),
    # live
    "live_play_money": (
        "our own venue has play money: no acceptance, key or confirmation is asked for",
        "자체 거래소의 돈은 가상입니다: 인수 시험, 키, 확인을 요구하지 않습니다",
    ),
    "live_judging": (
        "looking for a run that passed; it is judged again, which takes up to a minute",
        "통과한 실행을 찾아 다시 판정합니다. 1분쯤 걸립니다",
    ),
    "live_not_started": (
        "nothing was started: do what the lines with ✗ say",
        "아무것도 시작하지 않았습니다: ✗ 표시 줄에 적힌 대로 하십시오",
    ),
    "live_confirm": (
        (
            "This run trades with real money on {venue}: {symbols}.\n"
            "It starts with {equity} USDT and holds at most {most} USDT of positions "
            "(live.max_notional_usdt).\nTo start it, type exactly:\n  {line}"
        ),
        (
            "이 실행은 {venue} 에서 실제 돈으로 거래합니다: {symbols}.\n"
            "{equity} USDT 로 시작하며 포지션은 합계 {most} USDT 까지입니다 (live.max_notional_usdt).\n"
            "시작하려면 다음을 그대로 입력하십시오:\n  {line}"
        ),
    ),
    "live_unconfirmed": ("not confirmed: nothing was started", "확인되지 않아 아무것도 시작하지 않았습니다"),
    "live_unconfirmed_fix": ("start again and type: {line}", "다시 시작하여 입력하십시오: {line}"),
    "doctor_red": (
        "a start is not possible: do what the lines with ✗ say",
        "시작할 수 없습니다: ✗ 표시 줄에 적힌 대로 하십시오",
    ),
}  # fmt: skip

REASONS: Final[dict[str, str]] = {
    "ready_gate": "준비 상태",
    "warmup": "지표 준비",
    "stale_data": "오래된 데이터",
    "stale_signal": "오래된 신호",
    "clock_skew": "시계 차이",
    "signal_idempotency": "신호 중복",
    "duplicate_entry": "중복 진입",
    "flash_move": "급변동",
    "volume": "거래량",
    "spread": "스프레드",
    "price_sanity": "가격 이상",
    "symbol_cooldown": "심볼 대기",
    "strategy_cooldown": "전략 대기",
    "consecutive_losses": "연속 손실",
    "daily_loss": "일일 손실",
    "drawdown": "낙폭",
    "max_positions": "최대 포지션",
    "max_strategy_positions": "전략 최대 포지션",
    "sizing": "크기 계산",
    "exposure": "노출 한도",
    "portfolio_budget": "포트폴리오 예산",
    "venue_filters": "거래소 필터",
}

RELEASES: Final[dict[str, tuple[str, str]]] = {
    "resume_command": ("the operator's `resume`", "운영자의 `resume`"),
    "warm_bars": ("enough bars of the symbol", "심볼의 충분한 봉"),
    "fresh_data": ("fresh trades and quotes", "새로운 체결과 호가"),
    "next_signal": ("the next signal", "다음 신호"),
    "clock_in_step": ("clocks in step", "시계 일치"),
    "position_closes": ("a position that closes", "포지션 종료"),
    "pending_order_ends": ("the end of a waiting order", "대기 주문의 종료"),
    "time": ("time", "시간 경과"),
    "utc_midnight": ("UTC midnight", "UTC 자정"),
    "spread_narrows": ("a narrower spread", "스프레드 축소"),
    "volume_normal": ("normal volume", "정상 거래량"),
    "price_normal": ("a price near the quotes", "호가에 가까운 가격"),
    "budget_frees": ("budget that is freed by a close", "종료로 풀리는 예산"),
    "move_calms": ("a calmer bar", "차분한 봉"),
}
