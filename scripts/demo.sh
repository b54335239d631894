#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh - the life cycle of one CVM through the REST API, step by step. Exits with 0 only if every step succeeded.
#
# Runs build/teepod with a temporary folder and a free loopback port. At exit, also after an error or a signal, the guest, the
# daemon and the folder are removed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
teepod=${TEEPOD:-$here/build/teepod}
dir=$(mktemp -d /tmp/teepod-demo.XXXXXX)
log=$dir/daemon.log
base='' key='' daemon='' uuid='' status='' answer=''
began=$(date +%s%N)

if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
	bold='' dim='' green='' red='' plain=''
fi

# ------------------------------------------------------------------ output

heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
shell_line() { printf '  %s$ %s%s\n' "$dim" "$*" "$plain"; }
indent() { sed 's/\r$//; s/^/  /'; }
print_ok() { printf '  %sok%s  %s\n' "$green" "$plain" "$*"; }
seconds_since() { awk -v a="$1" -v b="$(date +%s%N)" 'BEGIN { printf "%.1f", (b - a) / 1e9 }'; }

fail() {
	printf '\n  %sfailed%s  %s\n' "$red" "$plain" "$*" >&2
	[[ -z $answer ]] || printf '  last answer (%s): %s\n' "$status" "$answer" >&2
	if [[ -s $log ]]; then
		printf '\n  End of the daemon'\''s log:\n' >&2
		tail -n 40 "$log" | indent >&2
	fi
	exit 1
}

# ------------------------------------------------------------------ requests

# call METHOD PATH [BODY]: sets $answer to the response body and $status to the HTTP status.
call() {
	local reply args=(-sS --max-time 40 -X "$1" -H "X-API-Key: $key" -H 'Content-Type: application/json')
	[[ $# -lt 3 ]] || args+=(--data-binary "$3")
	reply=$(curl "${args[@]}" -w '\n%{http_code}' "$base$2") || { status=000 answer='' && return 1; }
	status=${reply##*$'\n'} answer=${reply%$'\n'*}
}

# Like call(), and fail unless the status is 2xx.
call_or_fail() {
	call "$@" && [[ $status == 2* ]] || fail "$1 $2"
}

value() { jq -r "$1 // empty" <<<"$answer"; }

# wait_for SECONDS WHAT COMMAND...: repeat COMMAND until it succeeds.
wait_for() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		kill -0 "$daemon" 2>/dev/null || fail "the daemon ended while waiting for $what"
		((SECONDS < deadline)) || fail "waited too long for $what"
		sleep 0.1
	done
}

# ------------------------------------------------------------------ clean-up

# A guest keeps running when its daemon ends. Kill a guest that was not deleted; only its command line names this folder.
kill_guests() {
	local proc line
	for proc in /proc/[0-9]*; do
		line=$(tr '\0' ' ' 2>/dev/null <"$proc/cmdline") || continue
		[[ $line != *qemu-system*"$dir/"* ]] || kill -9 "${proc#/proc/}" 2>/dev/null || true
	done
}

clean_up() {
	local code=$?
	trap - EXIT INT TERM
	[[ $code -eq 0 || -z $uuid || -z $base ]] || call DELETE "/api/v1/cvms/$uuid" >/dev/null 2>&1 || true
	if [[ -n $daemon ]]; then
		kill "$daemon" 2>/dev/null || true
		for _ in {1..100}; do
			kill -0 "$daemon" 2>/dev/null || break
			sleep 0.1
		done
		kill -9 "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	kill_guests
	rm -rf "$dir"
	exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ------------------------------------------------------------------ steps

answers_ready() { call GET /readyz 2>/dev/null && [[ $status == 200 ]]; }
wrote_url() { [[ -s $dir/node/url && -s $dir/node/admin.key ]]; }

start_node() {
	heading "1. Start a node"
	[[ -x $teepod ]] || fail "no $teepod: run make first"
	shell_line "teepod --dev DIR --listen 127.0.0.1:0"
	# Fixed totals, so that the demo shows the same numbers on every machine.
	"$teepod" --dev "$dir/node" --listen 127.0.0.1:0 -o capacity.vcpus=4 -o capacity.memory_mib=2048 \
		-o capacity.disk_gib=8 -o capacity.slots=4 >"$log" 2>&1 &
	daemon=$!
	wait_for 30 "the node's address" wrote_url
	base=$(<"$dir/node/url") key=$(<"$dir/node/admin.key")
	wait_for 60 "the hypervisor" answers_ready
	print_ok "$("$teepod" --version | head -n 1) listens on $base, hypervisor connected"
	wait_for 60 "the demo image" has_demo_image
}

has_demo_image() {
	call GET /api/v1/images 2>/dev/null && [[ $status == 200 && $answer == *'"teepod-demo-'* ]]
}

# The reservations of the node, one line per resource.
capacity='(.capacity | if type == "array" then map({key: .resource, value: .}) else to_entries end)
	| map(select((.value | type) == "object" and (.value.promised | type) == "number"))'
show_reservations() {
	call_or_fail GET /api/v1/node
	jq -r "$capacity"' | .[] | "\(.key) \(.value.promised) \(.value.total)"' <<<"$answer" |
		awk '{ printf "  %-12s %6s reserved of %s\n", $1, $2, $3 }'
}
reserved() { jq -r "$capacity | if length == 0 then \"unknown\" else map(.value.promised) | add end" <<<"$answer"; }

create() {
	local request
	request=$(jq -n --arg compose $'services:\n  web:\n    image: nginx:alpine\n' '{
		name: "hello-tee", image: "teepod-demo", vcpu: 1, memory: 256, disk_size: 1,
		ports: [{protocol: "tcp", host_address: "127.0.0.1", host_port: 0, vm_port: 80}],
		compose_file: {name: "hello-tee", docker_compose_file: $compose}}')
	heading "2. Create a CVM"
	shell_line "curl -X POST $base/api/v1/cvms -d @-"
	jq . <<<"$request" | indent
	created=$(date +%s%N)
	call_or_fail POST /api/v1/cvms "$request"
	echo "  -> HTTP $status"
	jq 'del(.docker_compose_file, .compose_file) | del(.. | nulls)' <<<"$answer" | indent
	uuid=$(value .vm_uuid)
	[[ -n $uuid ]] || fail "the response has no vm_uuid"
}

# Print each new boot progress of the guest. Succeeds when it has booted.
shown=''
booted() {
	local word
	call GET "/api/v1/cvms/$uuid/state" || return 1
	[[ -z $(value .boot_error) ]] || fail "the guest reports: $(value .boot_error)"
	word=$(value .boot_progress)
	if [[ -n $word && $word != "$shown" ]]; then
		printf '  %5s s  %s\n' "$(seconds_since "$created")" "$word"
		shown=$word
	fi
	[[ $word == done && $(value .status) == running ]]
}

boot() {
	heading "3. Watch it boot"
	shell_line "curl $base/api/v1/cvms/$uuid/state"
	wait_for 120 "the guest" booted
	print_ok "running, $(seconds_since "$created") s after the request"
}

request_guest() {
	local port
	heading "4. Send a request to the guest, through its port forward"
	call_or_fail GET "/api/v1/cvms/$uuid"
	port=$(value '[.ports[]? | select(.vm_port == 80)][0].host_port')
	[[ -n $port ]] || fail "no host port in the response"
	shell_line "curl http://127.0.0.1:$port/"
	answer=$(curl -sS --max-time 20 --retry 5 --retry-all-errors "http://127.0.0.1:$port/") || fail "no response from the guest"
	jq . <<<"$answer" | indent
	[[ $(value .vm_uuid | tr -d -) == "${uuid//-/}" ]] || fail "this is not the guest that was created"
	print_ok "the guest reports the UUID $uuid"
}

read_log() {
	heading "5. Its serial console"
	shell_line "curl '$base/api/v1/cvms/$uuid/logs?ch=serial&tail=8'"
	call_or_fail GET "/api/v1/cvms/$uuid/logs?ch=serial&tail=8"
	indent <<<"${answer%$'\n'}"
	[[ $answer == *"boot.progress: done"* ]] || fail "the log does not contain the end of the boot"
}

check_refusal() {
	local before
	call_or_fail GET /api/v1/node
	before=$(reserved)
	heading "6. Request more than the host has"
	shell_line "curl -X POST $base/api/v1/cvms -d '{\"name\": \"too-big\", \"vcpu\": 9999, ...}'"
	call POST /api/v1/cvms '{"name": "too-big", "image": "teepod-demo", "vcpu": 9999, "memory": 256, "disk_size": 1,
		"compose_file": {"name": "too-big", "docker_compose_file": "services:\n  web:\n    image: nginx:alpine\n"}}' ||
		fail "no response"
	echo "  -> HTTP $status"
	jq . <<<"$answer" | indent
	[[ $status == 4* && $(value .error_code) == ERR-02-003 ]] || fail "expected ERR-02-003"
	show_reservations
	[[ $(reserved) == "$before" ]] || fail "the refused request changed the reservations"
	print_ok "refused with the numbers, and nothing was reserved"
}

is_stopped() { call GET "/api/v1/cvms/$uuid/state" && [[ $(value .status) == stopped ]]; }

stop() {
	heading "7. Stop"
	shell_line "curl -X POST $base/api/v1/cvms/$uuid/stop"
	call_or_fail POST "/api/v1/cvms/$uuid/stop"
	echo "  -> HTTP $status, status \"$(value .status)\""
	wait_for 60 "the stop" is_stopped
	print_ok "stopped; it keeps its disk, its port and its reservation"
}

is_gone() { call GET "/api/v1/cvms/$uuid" && [[ $status == 404 ]]; }

delete() {
	heading "8. Delete"
	shell_line "curl -X DELETE $base/api/v1/cvms/$uuid"
	call_or_fail DELETE "/api/v1/cvms/$uuid"
	echo "  -> HTTP $status"
	wait_for 60 "the delete" is_gone
	print_ok "deleted: $(value .error_code) $(value .message)"
	uuid=''
}

check_reservations() {
	heading "9. Check the reservations"
	shell_line "curl $base/api/v1/node"
	show_reservations
	[[ $(reserved) == 0 ]] || fail "there are reservations left"
	print_ok "no reservations are left"
}

start_node
create
boot
request_guest
read_log
check_refusal
stop
delete
check_reservations
printf '\n%sAll steps succeeded, in %s s.%s\n' "$bold" "$(seconds_since "$began")" "$plain"
