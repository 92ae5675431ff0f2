#!/usr/bin/env bash
# A client of the kind shell scripts have: `curl --unix-socket`, one POST a call or a batch.
#
# usage: curl.sh SOCKET
#
# Tells the daemon the same story as the other clients, checks each answer, and ends with 0, or with
# 1 and what was not as expected.
set -euo pipefail

readonly socket="${1:?usage: curl.sh SOCKET}"
readonly key="curl-$$"
folder="$(mktemp -d)"
readonly folder
trap 'rm -rf "$folder"' EXIT

fail() {
    printf 'curl: %s\n' "$*" >&2
    exit 1
}

# request CURL_ARGUMENT…: the status in $status, the body in $answer.
request() {
    status="$(curl --silent --show-error --max-time 30 --unix-socket "$socket" \
        --output "$folder/answer" --write-out '%{http_code}' "$@" http://aetherd/)" ||
        fail "curl ended with $? after: ${*:0:200}"
    answer="$(tr -d '\0' <"$folder/answer")"
}

# post JSON: one POST. `@file` posts a file.
post() {
    request --header 'Content-Type: application/json' --data-binary "$1"
}

# call METHOD PARAMS: the answer to one call, which is always 200.
call() {
    post "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}"
    expect_status 200
    expect '"jsonrpc":"2.0"'
    expect '"id":1'
}

expect_status() {
    [[ $status == "$1" ]] || fail "expected the status $1, got $status with: $(head -c 2000 <<<"$answer")"
}

# expect TEXT…: the answer has each text.
expect() {
    local text
    for text in "$@"; do
        [[ $answer == *"$text"* ]] || fail "expected $text in: $(head -c 2000 <<<"$answer")"
    done
}

expect_not() {
    [[ $answer != *"$1"* ]] || fail "expected no $1 in: $(head -c 2000 <<<"$answer")"
}

# refused METHOD PARAMS CODE KIND: a call that must be refused.
refused() {
    call "$1" "$2"
    expect "\"code\":$3" "\"kind\":\"$4\"" '"retryable":'
    expect_not '"result"'
}

# field NAME: the first string of that name in the answer.
field() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$folder/answer" | head -n 1
}

# indices: every index_in_session of the answer, in its order.
indices() {
    grep -o '"index_in_session":[0-9]*' "$folder/answer" | cut -d: -f2 | tr '\n' ' '
}

# --- The greeting

call system.hello '{"client":{"name":"curl","version":"1.0.0","later":true},"protocol":1,"a_later_field":[1]}'
expect '"name":"aetherd"' '"protocol":1' '"content_bytes":8388608' "\"socket\":\"$socket\""
instance="$(field instance_id)"
[[ -n $instance ]] || fail "system.hello told no instance_id"

# --- Project and session

call project.open "{\"path\":\"/home/me/$key\",\"id\":\"prj-$key\"}"
expect '"created":true' "\"name\":\"$key\""
call project.open "{\"path\":\"/home/me/$key\"}"
expect '"created":false' "\"id\":\"prj-$key\""

session="{\"id\":\"ses-$key\",\"project_id\":\"prj-$key\",\"kind\":\"chat\",\"title\":\"Größe 📏\"}"
call session.start "$session"
expect "\"id\":\"ses-$key\"" '"title":"Größe 📏"' '"message_count":0'
first="$answer"
call session.start "$session"
[[ $answer == "$first" ]] || fail "a retry gives the stored session, got: $answer"
refused session.start "${session/Größe/Other}" 1409 conflict

# --- Messages: three in one batch, in the order sent

append() {
    printf '{"jsonrpc":"2.0","id":"append-%d","method":"message.append","params":{"id":"%s-%d","session_id":"ses-%s","role":"user","content":"message %d","expected_index":%d}}' \
        "$1" "$key" "$1" "$key" "$1" "$1"
}
post "[$(append 0),$(append 1),$(append 2)]"
expect_status 200
expect '"id":"append-0"' '"id":"append-1"' '"id":"append-2"'
expect_not '"error"'
[[ $(indices) == '0 1 2 ' ]] || fail "appended in the order sent, got: $answer"

message="{\"id\":\"$key-1\",\"session_id\":\"ses-$key\",\"role\":\"user\",\"content\":\"message 1\"}"
call message.append "$message"
expect "\"id\":\"$key-1\"" '"index_in_session":1'
refused message.append "${message/message 1/something else}" 1409 conflict
call session.get "{\"id\":\"ses-$key\"}"
expect '"message_count":3'

call message.append_many "{\"session_id\":\"ses-$key\",\"expected_index\":3,\"messages\":[
    {\"id\":\"$key-3\",\"role\":\"assistant\",\"content\":\"世界 👩‍👩‍👧‍👦 \\u0000\\u0001\\u001f\\u007f\\n\\\"\"},
    {\"role\":\"tool\",\"content\":\"\"},{\"role\":\"tool\",\"content\":\"5\"},{\"role\":\"tool\",\"content\":\"6\"}]}"
[[ $(indices) == '3 4 5 6 ' ]] || fail "append_many gives the next indices, got: $answer"
expect '"created":true'
refused message.append_many \
    "{\"session_id\":\"ses-$key\",\"expected_index\":0,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}" \
    1412 precondition_failed
expect '"expected":0' '"actual":7'
call message.get "{\"id\":\"$key-3\"}"
expect '世界 👩‍👩‍👧‍👦 \u0000\u0001\u001f' '\n\"'

call message.update "{\"id\":\"$key-1\",\"metadata\":{\"usage\":{\"in\":10,\"out\":1},\"thoughts\":\"hm\"}}"
call message.update "{\"id\":\"$key-1\",\"metadata\":{\"usage\":{\"out\":20},\"thoughts\":null}}"
expect '"metadata":{"usage":{"in":10,"out":20}}' '"content":"message 1"'

# --- History

call history.recent "{\"session_id\":\"ses-$key\",\"limit\":2}"
[[ $(indices) == '5 6 ' ]] || fail "the newest, oldest first, got: $answer"
expect '"has_more":true'

all="" cursor="" pages=0
while :; do
    call history.page "{\"session_id\":\"ses-$key\",\"limit\":3${cursor:+,\"cursor\":\"$cursor\"}}"
    all+="$(indices)" pages=$((pages + 1))
    [[ $answer != *'"next_cursor":null'* ]] || break
    cursor="$(field next_cursor)"
    [[ -n $cursor && $pages -lt 10 ]] || fail "a cursor that leads nowhere: $answer"
done
[[ $all == '0 1 2 3 4 5 6 ' ]] || fail "the pages have: $all"

call session.list "{\"project_id\":\"prj-$key\"}"
expect "\"id\":\"ses-$key\"" '"message_count":7' '"next_cursor":null'

# --- Settings of two scopes

call settings.set "{\"key\":\"$key.theme\",\"value\":{\"z\":1.10,\"a\":[null]}}"
call settings.set "{\"key\":\"$key.theme\",\"value\":\"dark\",\"project_id\":\"prj-$key\"}"
call settings.get "{\"key\":\"$key.theme\",\"project_id\":\"prj-$key\"}"
expect '"value":"dark"' '"resolved":"project"'
call settings.get "{\"key\":\"$key.theme\"}"
expect '"value":{"z":1.10,"a":[null]}' '"resolved":"user"'
call settings.get "{\"key\":\"$key.nobody\"}"
expect '"value":null' '"resolved":null'

# --- Errors of calls: 200, as JSON-RPC has its own

refused no.such_method '{}' -32601 method_not_found
refused message.append "{\"session_id\":\"ses-$key\",\"role\":\"user\",\"content\":\"x\",\"metadat\":{}}" -32602 invalid_params
expect '"field":"metadat"'
refused session.get '{"id":"nobody"}' 1404 not_found
post '{"jsonrpc": "2.0", "id": 1, "method": '
expect '"id":null' '"code":-32700' '"kind":"parse_error"'
post ''
expect '"id":null' '"code":-32700'
post '[]'
expect '"id":null' '"code":-32600' '"kind":"invalid_request"'

# --- Notifications: an empty body, and carried out

post "{\"jsonrpc\":\"2.0\",\"method\":\"settings.set\",\"params\":{\"key\":\"$key.notified\",\"value\":\"yes\"}}"
expect_status 204
[[ ! -s $folder/answer ]] || fail "a notification is not answered, got: $answer"
# Writes are applied in the order sent: once this one is answered, the notification is carried out.
call settings.set "{\"key\":\"$key.after\",\"value\":true}"
call settings.get "{\"key\":\"$key.notified\"}"
expect '"value":"yes"'
post '[{"jsonrpc":"2.0","method":"system.ping"},{"jsonrpc":"2.0","method":"system.ping"}]'
expect_status 204
[[ ! -s $folder/answer ]] || fail "a batch of notifications is not answered, got: $answer"

# --- A batch of all kinds

post "[{\"jsonrpc\":\"2.0\",\"id\":\"first\",\"method\":\"system.ping\"},
    {\"jsonrpc\":\"2.0\",\"method\":\"settings.set\",\"params\":{\"key\":\"$key.batch\",\"value\":\"set by a batch\"}},
    17,
    {\"jsonrpc\":\"2.0\",\"id\":\"typo\",\"method\":\"session.get\",\"params\":{\"idd\":\"x\"}},
    {\"jsonrpc\":\"2.0\",\"id\":\"write\",\"method\":\"settings.set\",\"params\":{\"key\":\"$key.batch.2\",\"value\":2}},
    {\"jsonrpc\":\"2.0\",\"id\":\"unknown\",\"method\":\"no.such_method\"}]"
expect_status 200
expect '"id":"first"' '"id":null' '"id":"typo"' '"id":"write"' '"id":"unknown"' \
    '"code":-32600' '"code":-32602' '"code":-32601'
[[ $(grep -o '"jsonrpc"' "$folder/answer" | wc -l) == 5 ]] || fail "five answers, got: $answer"
call settings.get "{\"key\":\"$key.batch\"}"
expect '"value":"set by a batch"'

# --- One mebibyte there and back

large="$(head -c 1048576 /dev/zero | tr '\0' 'x')"
printf '{"jsonrpc":"2.0","id":1,"method":"message.append","params":{"id":"%s-large","session_id":"ses-%s","role":"user","content":"%s"}}' \
    "$key" "$key" "$large" >"$folder/large.json"
post "@$folder/large.json"
expect_status 200
expect "\"content\":\"$large\""
call message.get "{\"id\":\"$key-large\"}"
expect "\"content\":\"$large\""

# --- What HTTP itself refuses

request --header 'Content-Type: text/plain' --data-binary '{"jsonrpc":"2.0","id":1,"method":"system.ping"}'
expect_status 415
request --header 'Content-Type: application/json; charset=utf-8' --data-binary '{"jsonrpc":"2.0","id":1,"method":"system.ping"}'
expect_status 200
request
expect_status 405
head -c 17825792 /dev/zero | tr '\0' ' ' >"$folder/oversize.json"
post "@$folder/oversize.json"
expect_status 413
expect '"id":null' '"code":1413' '"kind":"too_large"' '"limit":16777216'
request --header 'Content-Type: application/json' --header 'Transfer-Encoding: chunked' --data-binary "@$folder/oversize.json"
expect_status 413
expect '"code":1413'

# --- One connection for several requests

connections="$(curl --silent --show-error --max-time 30 --unix-socket "$socket" --output /dev/null --output /dev/null \
    --write-out '%{http_code} %{num_connects}\n' --header 'Content-Type: application/json' \
    --data-binary '{"jsonrpc":"2.0","id":1,"method":"system.ping"}' http://aetherd/ http://aetherd/)"
[[ $connections == $'200 1\n200 0' ]] || fail "expected two answers over one connection, got: $connections"

call system.ping '{}'
expect "\"instance_id\":\"$instance\""
echo 'curl: all as expected'
