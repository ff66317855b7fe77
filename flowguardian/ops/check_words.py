"""The sentences of the checks, English and Korean side by side.

Rule: a key has both languages with the same placeholders; a key with `_fix` says exactly what to do about the
sentence of the key before it. Commands, paths, codes and keys of settings stay as they are.
"""

from __future__ import annotations

from typing import Final

from flowguardian.ops.words import Words

ITEMS: Final[dict[str, str]] = {
    "config": "설정",
    "containers": "컨테이너",
    "container": "컨테이너",
    "server": "서버",
    "earlier processes": "이전 프로세스",
    "stale locks": "남은 잠금",
    "redis namespace": "Redis 이름공간",
    "logs": "로그",
    "free disk": "디스크 여유",
    "free memory": "메모리 여유",
    "time zone": "시간대",
    "encoding": "인코딩",
    "clock": "시계",
    "sleep policy": "절전 정책",
    "venue": "거래소",
    "trades": "체결 스트림",
    "quotes": "호가 스트림",
    "marks": "마크 가격 스트림",
    "filters": "주문 필터",
    "clock offset": "시계 차이",
    "tape growth": "테이프 증가량",
    "shadowed limits": "가려진 한도",
    "self-test": "자가 시험",
}
"""Korean labels of the items; the item itself stays English in rows and JSON."""

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "none": ("none", "없음"),
    "check_broke": ("the check broke: {error}", "검사 자체가 실패했습니다: {error}"),
    "check_broke_fix": ("Report this line.", "이 줄을 그대로 알려 주십시오."),
    "config_fix": (
        "Correct what it names; `flowguardian config show` tells.",
        "위에 적힌 것을 고치십시오. `flowguardian config show` 로 확인합니다.",
    ),
    # processes and locks
    "process_stopped": ("{name} stopped", "{name} 정지함"),
    "process_killed": ("{name} killed: it did not stop when asked", "{name} 강제 종료함: 정지 요청에 응하지 않음"),
    "process_gone": ("{name} already gone", "{name} 이미 끝남"),
    "records_removed": ("{count} records of ended processes removed", "끝난 프로세스 기록 {count}건 삭제"),
    "processes_alone": ("left running: {names}", "실행 중인 채로 둠: {names}"),
    "processes_alone_fix": (
        "Another run of yours; nothing has to be done. To stop it too: `flowguardian doctor --stop-all`.",
        "다른 실행이므로 할 일은 없습니다. 이것도 멈추려면: `flowguardian doctor --stop-all`.",
    ),
    "processes_left": ("could not be stopped: {names}", "멈출 수 없음: {names}"),
    "processes_left_fix": ("End it by hand: {command}", "직접 끝내십시오: {command}"),
    "lock_left": ("{lock} left by {owner}, who ended", "{lock}: 끝난 {owner} 이(가) 남긴 것"),
    "lock_left_reused": (
        "{lock} left by {owner}, who ended; another program has that PID now",
        "{lock}: 끝난 {owner} 이(가) 남긴 것, 그 PID는 지금 다른 프로그램의 것",
    ),
    "lock_held": ("{why}", "{why}"),
    "lock_held_fix": (
        "Wait for that process or end it with `flowguardian stop`.",
        "그 프로세스를 기다리거나 `flowguardian stop` 으로 끝내십시오.",
    ),
    # own namespace, logs
    "namespace_cleaned": ("{count} own keys removed", "자체 키 {count}개 삭제"),
    "namespace_empty": ("no own keys", "자체 키 없음"),
    "logs_go_on": ("this run goes on: logs are appended to", "이어지는 실행: 로그에 덧붙임"),
    "logs_none": ("no earlier logs", "이전 로그 없음"),
    "logs_moved": ("{count} log files ({size} MB) moved to {where}", "로그 파일 {count}개({size} MB)를 {where} 로 옮김"),
    # host
    "disk": ("{free} GB free, {needed} GB needed", "여유 {free} GB, 필요 {needed} GB"),
    "disk_narrow": ("{free} GB free, {needed} GB needed", "여유 {free} GB, 필요 {needed} GB"),
    "disk_narrow_fix": (
        "Enough to start; make room before a longer run: `flowguardian runs prune --keep 10`.",
        "시작하기에는 충분합니다. 더 긴 실행 전에 비우십시오: `flowguardian runs prune --keep 10`.",
    ),
    "disk_full": ("{free} GB free, {needed} GB needed", "여유 {free} GB, 필요 {needed} GB"),
    "disk_full_fix": (
        "Delete old runs (`flowguardian runs prune --keep 10`) or choose a folder on a larger disk.",
        "오래된 실행을 지우거나(`flowguardian runs prune --keep 10`) 더 큰 디스크의 폴더를 고르십시오.",
    ),
    "disk_not_writable": ("{path}: not writable: {error}", "{path}: 쓸 수 없음: {error}"),
    "disk_not_writable_fix": ("Choose another folder for the runs.", "실행 폴더를 다른 곳으로 고르십시오."),
    "memory": ("{free} MB free, {needed} MB needed", "여유 {free} MB, 필요 {needed} MB"),
    "memory_narrow": ("{free} MB free, {needed} MB needed", "여유 {free} MB, 필요 {needed} MB"),
    "memory_narrow_fix": (
        "Enough to start; close what else runs here before a long run.",
        "시작하기에는 충분합니다. 긴 실행 전에 다른 프로그램을 닫으십시오.",
    ),
    "memory_full": ("{free} MB free, {needed} MB needed", "여유 {free} MB, 필요 {needed} MB"),
    "memory_full_fix": (
        "Close other programs, or lower `doctor.min_free_memory_mb` if you know that it is enough.",
        "다른 프로그램을 닫거나, 충분하다고 확신하면 `doctor.min_free_memory_mb` 를 낮추십시오.",
    ),
    "time_zone": (
        "{name} (UTC{offset}); stored times are UTC, shown ones UTC and KST",
        "{name} (UTC{offset}); 저장은 UTC, 표시는 UTC와 KST",
    ),
    "encoding": ("{shown}; files are UTF-8", "{shown}; 파일은 UTF-8"),
    "encoding_switched": (
        "{shown}, though the system says {other}; files are UTF-8",
        "{shown}, 시스템 설정은 {other}; 파일은 UTF-8",
    ),
    "encoding_lost": ("{shown}: {lost} cannot show Hangul and signs", "{shown}: {lost} 에서 한글과 기호가 깨짐"),
    "encoding_lost_fix": (
        "Set PYTHONUTF8=1 in the environment; in a Windows console also `chcp 65001`.",
        "환경 변수 PYTHONUTF8=1 을 설정하십시오. Windows 콘솔에서는 `chcp 65001` 도 실행합니다.",
    ),
    "sleep": ("kept awake by {means}", "{means} 로 깨어 있게 함"),
    "sleep_no_means": (
        "this host offers no way to be kept awake",
        "이 컴퓨터를 깨어 있게 할 방법이 없음",
    ),
    "sleep_no_means_fix": (
        "Switch off sleep in the system's power settings; a sleep during the run is recorded as an outage.",
        "시스템 전원 설정에서 절전을 끄십시오. 실행 중 절전은 중단으로 기록됩니다.",
    ),
    "sleep_battery": (
        "kept awake by {means}, but on battery ({percent} %)",
        "{means} 로 깨어 있게 하지만 배터리 사용 중({percent} %)",
    ),
    "sleep_battery_fix": ("Plug the machine in before a long run.", "긴 실행 전에 전원을 연결하십시오."),
    # clock
    "clock": ("{now}", "{now}"),
    "clock_early": ("the clock shows {now}", "시계가 {now} 을(를) 가리킴"),
    "clock_early_fix": ("Set the clock: `{command}`.", "시계를 맞추십시오: `{command}`."),
    "clock_behind": (
        "the clock is {seconds} s behind this run's last record",
        "시계가 이 실행의 마지막 기록보다 {seconds} 초 늦음",
    ),
    "clock_behind_fix": ("Set the clock: `{command}`.", "시계를 맞추십시오: `{command}`."),
    "clock_being_set": (
        "the clock moved at {rate} times the monotonic rate: it is being set",
        "시계가 단조 시계의 {rate} 배로 움직임: 맞추는 중",
    ),
    "clock_being_set_fix": (
        "Set the clock and wait until it is still: `{command}`.",
        "시계를 맞추고 안정될 때까지 기다리십시오: `{command}`.",
    ),
    "offset": ("{offset} ms against the venue, limit {limit} ms", "거래소 대비 {offset} ms, 한도 {limit} ms"),
    "offset_near": ("{offset} ms against the venue, limit {limit} ms", "거래소 대비 {offset} ms, 한도 {limit} ms"),
    "offset_near_fix": ("Set the clock soon: `{command}`.", "곧 시계를 맞추십시오: `{command}`."),
    "offset_large": ("{offset} ms against the venue, limit {limit} ms", "거래소 대비 {offset} ms, 한도 {limit} ms"),
    "offset_large_fix": (
        "Set the clock: `{command}` (limit: `guards.clock_skew.max_ms`).",
        "시계를 맞추십시오: `{command}` (한도: `guards.clock_skew.max_ms`).",
    ),
    "offset_own_time": (
        "the local venue has a market time of its own: nothing to compare",
        "로컬 거래소는 자체 시장 시간을 씀: 비교할 것 없음",
    ),
    # containers
    "container_up": ("{name}: {state}, {health}, {version}", "{name}: {state}, {health}, {version}"),
    "container_started": (
        "{name}: was {before}, started; {state}, {health}, {version}",
        "{name}: {before} 상태여서 시작함; {state}, {health}, {version}",
    ),
    "container_missing": ("{name}: there is no such container", "{name}: 그런 컨테이너가 없음"),
    "container_missing_fix": (
        "Make it (`docker compose up -d`), or take it out of `doctor.containers`.",
        "만들거나(`docker compose up -d`) `doctor.containers` 에서 빼십시오.",
    ),
    "container_unhealthy": ("{name}: {state}, {health}, {version}: {why}", "{name}: {state}, {health}, {version}: {why}"),
    "container_unhealthy_fix": (
        "Look at its log: `docker logs --tail 50 {name}`.",
        "로그를 보십시오: `docker logs --tail 50 {name}`.",
    ),
    "container_not_up": (
        "{name}: {before}, and after the start {state}, {health}, exit code {code}",
        "{name}: {before}, 시작 후에도 {state}, {health}, 종료 코드 {code}",
    ),
    "container_not_up_fix": (
        "Look at its log: `docker logs --tail 50 {name}`.",
        "로그를 보십시오: `docker logs --tail 50 {name}`.",
    ),
    "container_paused": ("{name}: paused by somebody", "{name}: 누군가 일시 정지함"),
    "container_paused_fix": ("Let it go on: `docker unpause {name}`.", "계속하게 하십시오: `docker unpause {name}`."),
    "docker_missing": (
        "docker is not on the PATH, but {names} is configured",
        "docker 가 PATH에 없는데 {names} 이(가) 설정됨",
    ),
    "docker_missing_fix": (
        "Install Docker, or empty `doctor.containers`.",
        "Docker를 설치하거나 `doctor.containers` 를 비우십시오.",
    ),
    "docker_failed": ("docker does not answer: {why}", "docker 가 응답하지 않음: {why}"),
    "docker_failed_fix": (
        "Start Docker (`systemctl start docker`, or Docker Desktop) and ask again.",
        "Docker를 시작하고(`systemctl start docker` 또는 Docker Desktop) 다시 실행하십시오.",
    ),
    "containers_off": ("none configured, no docker here", "설정된 것 없음, docker 없음"),
    "containers_unasked": ("none configured; docker does not answer", "설정된 것 없음; docker 응답 없음"),
    "containers_configured": ("{count} configured", "{count}개 설정됨"),
    "containers_offered": (
        "found and not configured: {found}",
        "찾았지만 설정되지 않음: {found}",
    ),
    "containers_offered_fix": (
        "Nothing has to be done. To have them looked after: `doctor.containers: [{names}]`.",
        "할 일은 없습니다. 함께 살피게 하려면: `doctor.containers: [{names}]`.",
    ),
    # servers
    "server_up": ("{kind} at {where} answers: {version}", "{where} 의 {kind} 응답함: {version}"),
    "server_busy": ("{kind} at {where} answers, but is not ready: {why}", "{where} 의 {kind} 응답하지만 준비 안 됨: {why}"),
    "server_busy_fix": ("Wait until it has started, then ask again.", "시작이 끝나기를 기다린 뒤 다시 실행하십시오."),
    "server_down": ("{kind} at {where} does not answer: {why}", "{where} 의 {kind} 응답 없음: {why}"),
    "server_down_fix": (
        "Start it (`docker compose up -d`), or take it out of `doctor.servers`.",
        "시작하거나(`docker compose up -d`) `doctor.servers` 에서 빼십시오.",
    ),
    "server_other": ("what answers at {where} is no {kind}: {why}", "{where} 에서 응답하는 것은 {kind} 이(가) 아님: {why}"),
    "server_other_fix": ("Correct the address in `doctor.servers`.", "`doctor.servers` 의 주소를 고치십시오."),
    # the venue
    "venue_heard": (
        "{venue}: listened {seconds} s to {symbols} symbols",
        "{venue}: 심볼 {symbols}개를 {seconds} 초 들음",
    ),
    "venue_failed": ("{venue}: {why}", "{venue}: {why}"),
    "venue_failed_fix": (
        "Check network, firewall and proxy to {host}; `flowguardian doctor --venue local` tests without them.",
        "{host} 까지의 네트워크, 방화벽, 프록시를 확인하십시오. `flowguardian doctor --venue local` 은 네트워크 없이 시험합니다.",
    ),
    "venue_unheard": ("nothing was heard: the venue did not start", "들은 것 없음: 거래소가 시작되지 않음"),
    "venue_unheard_fix": ("See the line `venue`.", "`venue` 줄을 보십시오."),
    "stream": (
        "{messages} messages of {heard}/{wanted} symbols, longest silence {silence} s",
        "{heard}/{wanted} 심볼에서 메시지 {messages}개, 가장 긴 침묵 {silence} 초",
    ),
    "stream_quiet": (
        "{messages} messages of {heard}/{wanted} symbols; nothing traded in {missing}, whose last trade was read by REST",
        "{heard}/{wanted} 심볼에서 메시지 {messages}개; {missing} 은(는) 체결이 없어 마지막 체결을 REST로 읽음",
    ),
    "stream_quiet_fix": (
        "A quiet market, or a short listen: `--seconds 60` hears more.",
        "조용한 시장이거나 짧은 청취입니다: `--seconds 60` 이면 더 들립니다.",
    ),
    "stream_silent": (
        "{messages} messages of {heard}/{wanted} symbols; silent: {missing}",
        "{heard}/{wanted} 심볼에서 메시지 {messages}개; 침묵: {missing}",
    ),
    "stream_silent_fix": (
        "Compare the stream's path with the venue's documents, or take the symbols out of `universe.symbols`.",
        "스트림 경로를 거래소 문서와 비교하거나 `universe.symbols` 에서 심볼을 빼십시오.",
    ),
    "filters": ("{count} symbols: {shown}", "심볼 {count}개: {shown}"),
    "filters_refuse": (
        "the smallest order of {symbol} is {least} USDT, more than an entry may be ({most} USDT)",
        "{symbol} 의 최소 주문은 {least} USDT, 진입 한도 {most} USDT보다 큼",
    ),
    "filters_refuse_fix": (
        "Raise `position_sizing.max_position_notional` or take {symbol} out of `universe.symbols`.",
        "`position_sizing.max_position_notional` 을 올리거나 `universe.symbols` 에서 {symbol} 을(를) 빼십시오.",
    ),
    "tape": (
        "{rate} MB/h; {free} GB free last {hours} h, {planned} h planned",
        "시간당 {rate} MB; 여유 {free} GB로 {hours} 시간, 계획 {planned} 시간",
    ),
    "tape_narrow": (
        "{rate} MB/h; {free} GB free last {hours} h, {planned} h planned",
        "시간당 {rate} MB; 여유 {free} GB로 {hours} 시간, 계획 {planned} 시간",
    ),
    "tape_narrow_fix": (
        "Enough for this run; make room soon: `flowguardian runs prune --keep 10`.",
        "이번 실행에는 충분합니다. 곧 비우십시오: `flowguardian runs prune --keep 10`.",
    ),
    "tape_full": (
        "{rate} MB/h; {free} GB free last {hours} h, {planned} h planned",
        "시간당 {rate} MB; 여유 {free} GB로 {hours} 시간, 계획 {planned} 시간",
    ),
    "tape_full_fix": (
        "Delete old runs (`flowguardian runs prune --keep 10`), use a larger disk, or plan fewer hours.",
        "오래된 실행을 지우거나(`flowguardian runs prune --keep 10`), 더 큰 디스크를 쓰거나, 계획 시간을 줄이십시오.",
    ),
    # what decides
    "shadows": ("{count} limits can never bind: {lines}", "적용될 수 없는 한도 {count}개: {lines}"),
    "shadows_fix": (
        "Allowed; if it is not meant, change one of the two. `flowguardian config show` lists them.",
        "허용됩니다. 의도가 아니면 둘 중 하나를 바꾸십시오. `flowguardian config show` 에 나옵니다.",
    ),
    "ready": (
        "READY: {rows} golden rows decided again and equal (journal {hash}, {seconds} s)",
        "READY: 기준 행 {rows}개를 다시 결정하여 모두 같음 (저널 {hash}, {seconds} 초)",
    ),
    "bootstrap_broke": ("the start broke: {error}", "시작이 실패함: {error}"),
    "leave_bootstrap": (
        "Put right what is named, then start again; a start is the only way out of QUARANTINE.",
        "적힌 것을 바로잡고 다시 시작하십시오. QUARANTINE에서 나오는 길은 다시 시작하는 것뿐입니다.",
    ),
    "self_test_differs": (
        "the engine does not decide as it should: {why}",
        "엔진이 정해진 대로 결정하지 않음: {why}",
    ),
    "self_test_broke": ("the engine broke on the golden tape: {error}", "기준 테이프에서 엔진이 실패함: {error}"),
    "leave_self_test": (
        "The installed code is changed or damaged: install this version anew and start again. A change that was "
        "meant is confirmed with `python -m flowguardian.ops.golden.regenerate`.",
        "설치된 코드가 바뀌었거나 손상되었습니다: 이 버전을 다시 설치하고 시작하십시오. 의도한 변경은 "
        "`python -m flowguardian.ops.golden.regenerate` 로 확정합니다.",
    ),
}  # fmt: skip


def words(key: str, **values: object) -> Words:
    """A sentence in both languages, its values filled in; an unknown key is a defect and raises KeyError."""
    en, ko = TEXTS[key]
    return Words(en.format(**values), ko.format(**values))


def item_text(item: str, language: str) -> str:
    """An item for people: in Korean with its English name behind it."""
    if language != "ko":
        return item
    # `container NAME` and `server NAME` share the label of their kind.
    label = ITEMS.get(item) or ITEMS.get(item.partition(" ")[0], "")
    return f"{label} ({item})" if label else item
