"""The texts of messages, English and Korean side by side.

Rule: a Korean label carries the English code people search for; before the end no text holds a verdict.
"""

from __future__ import annotations

from typing import Final

from flowguardian.cli.language import LANGUAGES, Language

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "start_title": ("Run started: {run}", "실행 시작: {run}"),
    "start": (
        "{kind}, {mode}, market: {feed}\nSymbols: {symbols}\nStart equity {equity} USDT, planned {planned}",
        "{kind}, {mode}, 시장: {feed}\n심볼: {symbols}\n시작 자산 {equity} USDT, 계획 {planned}",
    ),
    "checkpoint_title": ("{name} {health}: {run}", "{name} {health}: {run}"),
    "checkpoint": (
        (
            "Run time {run_time}, equity {equity} USDT, drawdown {drawdown} %\n"
            "Entry SUCCESS {entries}, Budget Cap Applied {caps}, Portfolio Budget BLOCK {blocks}\n"
            "Budget used {used} of {allocated} USDT, open positions {open}\n(no verdict, running)"
        ),
        (
            "실행 시간 {run_time}, 자산 {equity} USDT, 낙폭 {drawdown} %\n"
            "진입 성공 (Entry SUCCESS) {entries}, 예산 제한 적용 (Budget Cap Applied) {caps}, "
            "포트폴리오 예산 차단 (Portfolio Budget BLOCK) {blocks}\n"
            "예산 {allocated} 중 {used} USDT 사용, 보유 포지션 {open}\n(판정 없음, 실행 중)"
        ),
    ),
    "starvation_title": ("Guard starvation: {guard} ({run})", "가드 기아 (GuardStarvation): {guard} ({run})"),
    "starvation": (
        "{signals} signals since {since} and no entry; {guard} refused {refusals}.\nReleased by: {release}",
        "{since}부터 신호 {signals}개, 진입 없음; {guard} 거절 {refusals}회.\n해제: {release}",
    ),
    "trading_title": ("Trading is {state}: {run}", "거래 상태 {state}: {run}"),
    "trading": ("Reason: {reason}", "이유: {reason}"),
    "incident_title": ("{severity} in {source}: {run}", "{severity} ({source}): {run}"),
    "incident": ("{what}\n{sample}", "{what}\n{sample}"),
    "invariant": ("{invariant} does not hold: {message}", "{invariant} 불변식 위반: {message}"),
    "ended_title": ("{name} ended: {run}", "{name} 프로세스 종료: {run}"),
    "ended": (
        "PID {pid}, exit code {code}: {reason}{announced}",
        "PID {pid}, 종료 코드 {code}: {reason}{announced}",
    ),
    "announced": (" (announced fault)", " (예고된 장애)"),
    "restart_title": ("The engine runs again: {run}", "엔진 다시 실행 중: {run}"),
    "restart": ("Segment {segment} ({reason}), PID {pid}", "구간 (segment) {segment} ({reason}), PID {pid}"),
    "sleep_title": ("The computer slept: {run}", "컴퓨터가 절전 상태였습니다: {run}"),
    "sleep": (
        "Nothing ran for {seconds} s; this time does not count.",
        "{seconds}초 동안 멈춤; 이 시간은 세지 않습니다.",
    ),
    "end_title": ("Run ended ({reason}): {run}", "실행 종료 ({reason}): {run}"),
    "end_completed": ("It is being judged; the verdict follows.", "판정 중입니다. 결과가 이어집니다."),
    "end_resumable": ("It can go on where it stopped.", "멈춘 곳에서 이어갈 수 있습니다."),
    "end_failed": ("It does not go on by itself.", "스스로 계속되지 않습니다."),
    "verdict_title": ("{verdict}{kind}: {run}", "{verdict}{kind}: {run}"),
    "rehearsal": (" (rehearsal)", " (리허설, rehearsal)"),
    "verdict": (
        (
            "Run time {hours} h | Entry SUCCESS {entries} | Budget Cap Applied {caps} | "
            "Portfolio Budget BLOCK {block_pct} % | ERROR/CRITICAL {errors}\n{why}"
        ),
        (
            "실행 시간 {hours} h | 진입 성공 (Entry SUCCESS) {entries} | "
            "예산 제한 적용 (Budget Cap Applied) {caps} | "
            "포트폴리오 예산 차단 (Portfolio Budget BLOCK) {block_pct} % | ERROR/CRITICAL {errors}\n{why}"
        ),
    ),
    "gone_title": ("ALARM: the supervisor is gone: {run}", "경보: 감독자가 사라짐: {run}"),
    "gone": (
        (
            "Process {pid} ended without a word; last sign of life {last}. Nobody looks after the run: "
            "its engine ends too. It can be resumed where it stopped."
        ),
        (
            "프로세스 {pid}이(가) 말없이 끝났습니다; 마지막 신호 {last}. 실행을 돌보는 프로세스가 "
            "없어 엔진도 멈춥니다. 멈춘 곳에서 이어갈 수 있습니다."
        ),
    ),
    "silent_title": ("ALARM: the supervisor is silent: {run}", "경보: 감독자 무응답: {run}"),
    "silent": (
        "Process {pid} lives but gave no sign of life for {seconds} s; the last was {last}.",
        "프로세스 {pid}은(는) 살아 있지만 {seconds}초 동안 신호가 없습니다; 마지막 신호 {last}.",
    ),
    "repeated": (" (possibly repeated)", " (중복일 수 있음)"),
    "test_title": ("FlowGuardian: test message", "FlowGuardian: 시험 메시지"),
    "test": ("This channel works. Sent {at}.", "이 채널은 작동합니다. 보낸 시각 {at}."),
}


class Tell:
    """The texts of one language."""

    def __init__(self, language: Language) -> None:
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """A text with its values; an unknown key is a defect and raises KeyError."""
        return TEXTS[key][self._place].format(**values)
