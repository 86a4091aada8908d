#!/usr/bin/env bash
# Generates a client from the OpenAPI document with each generator, compiles it, and runs it against a server that
# `recount up` starts in a temporary folder: it declares an event type and a view, sends events, asks for their count
# and compares it, and calls the other operations. Prints the matrix of operations and clients.
#
#   deploy/proof/generators/run.sh [NAME…]
#
# NAME is oapi-codegen, ogen, openapi-fetch, hey-api, openapi-python-client, openapi-generator, redocly, spectral or
# schemathesis; without any, all of them. Versions are pinned beside this file. Without names, one whose language is
# missing on this machine is skipped, with the reason; one that was named fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
document=$root/schemas/openapi/openapi.json
clients="oapi-codegen ogen openapi-fetch hey-api openapi-python-client openapi-generator"
names=${*:-$clients redocly spectral schemathesis}
work=$(mktemp -d)
cd "$root"
server=
failed=

# stop ends the server, if one runs.
stop() {
  [ -z "$server" ] || { kill "$server" && wait "$server" || true; }
  server=
}
trap 'stop; rm -rf "$work"' EXIT

# serve starts a server in a folder of its own, and sets url and key.
serve() {
  local dir=$work/server-$1
  mkdir "$dir"
  "$work/recount" keys create --keys-file "$dir/keys.json" --tenant acme --scope ingest,query,admin >"$dir/key" 2>/dev/null
  (cd "$root" && exec "$work/recount" up --config "$here/recount.yaml" --data-dir "$dir/data" --listen 127.0.0.1:0 \
    --auth.keys-file "$dir/keys.json" --log-level warn >"$dir/out" 2>"$dir/log") &
  server=$!
  url=
  for _ in $(seq 300); do
    url=$(grep -o 'http://127[^,]*' "$dir/out" || true)
    [ -z "$url" ] || break
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$dir/log" >&2; return 1; }
  key=$(cat "$dir/key")
  publish_first "$dir"
}

# publish_first sends an event and waits until a publication has it. The job score compares what came since the
# publication before, and the speed layer soon drops what the first one has: so a client's is not the first.
publish_first() {
  echo '{"specversion":"1.0","id":"first","source":"first","type":"page.viewed","data":{}}' >"$1/first.ndjson"
  "$work/recount" ingest --server "$url" --key-file "$1/key" "$1/first.ndjson" >"$1/first" 2>&1 || { cat "$1/first"; return 1; }
  for _ in $(seq 100); do
    "$work/recount" jobs run recompute --server "$url" --key-file "$1/key" >"$1/first" 2>&1 || { cat "$1/first"; return 1; }
    grep -q '"rows": 1' "$1/first" && return
    sleep 0.1
  done
  echo 'the first event was not published'
  return 1
}

# generate_go NAME: the client's program is $work/NAME.
generate_go() {
  cp -r "$here/go" "$work/go-$1"
  cd "$work/go-$1"
  mkdir -p oapi/api ogen/api
  if [ "$1" = oapi-codegen ]; then
    go tool oapi-codegen -generate types,client -package api -o oapi/api/api.gen.go "$document"
    go build -o "$work/$1" ./oapi
  else
    go tool ogen --target ogen/api --package api --clean "$document" >"$work/ogen.log" 2>&1 || { cat "$work/ogen.log"; return 1; }
    go build -o "$work/$1" ./ogen
  fi
}

# install_node installs the packages of typescript/ once.
install_node() {
  [ -d "$work/node" ] && return
  cp -r "$here/typescript" "$work/node"
  npm ci --prefix "$work/node" --no-audit --no-fund --loglevel=error >"$work/npm.log" 2>&1 || { cat "$work/npm.log"; return 1; }
}

generate_typescript() {
  install_node
  cd "$work/node"
  mkdir -p generated
  npx openapi-typescript --default-non-nullable=false "$document" -o generated/paths.ts
  npx openapi-ts -i "$document" -o generated/hey -c @hey-api/client-fetch
  npx tsc -p .
}

install_python() {
  [ -d "$work/venv" ] && return
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" -q --disable-pip-version-check install -r "$here/python/requirements.txt"
}

# run_client NAME: prints a line with the operation and the status for each call.
run_client() {
  case $1 in
  oapi-codegen | ogen) "$work/$1" "$url" "$key" ;;
  openapi-fetch) node "$work/node/build/fetch.js" "$url" "$key" ;;
  hey-api) node "$work/node/build/hey.js" "$url" "$key" ;;
  openapi-python-client) PYTHONPATH=$work/python "$work/venv/bin/python" "$here/python/client.py" "$url" "$key" ;;
  openapi-generator) (cd "$work/java" && mvn -q -B -Ddocument="$document" exec:java "-Dexec.args=$url $key") ;;
  esac
}

generate() {
  case $1 in
  oapi-codegen | ogen) generate_go "$1" ;;
  openapi-fetch | hey-api) [ -d "$work/node/build" ] || generate_typescript ;;
  openapi-python-client)
    install_python
    "$work/venv/bin/openapi-python-client" generate --path "$document" --output-path "$work/python"
    ;;
  openapi-generator)
    cp -r "$here/java" "$work/java"
    (cd "$work/java" && mvn -q -B -Ddocument="$document" compile)
    ;;
  esac
}

# lint checks the document with the rules that a linter has by default.
lint() {
  install_node
  cd "$work/node"
  if [ "$1" = redocly ]; then
    npx redocly lint "$document"
  else
    echo '{"extends": ["spectral:oas"]}' >"$work/spectral.json"
    npx spectral lint --fail-severity hint -r "$work/spectral.json" "$document"
  fi
}

# attack sends drawn requests of every operation: no status 5xx, and no answer that the document does not have. The
# examples of bodies in lines and YAML are texts, which schemathesis cannot send beside bodies that it draws itself. A
# stream has no end, which schemathesis would wait for.
attack() {
  install_python
  (cd "$work" && SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$here/python "$work/venv/bin/schemathesis" run "$document" \
    --url "$url" -H "Authorization: Bearer $key" --phases coverage,fuzzing,stateful --no-color --continue-on-failure \
    --exclude-path /v1/stream --max-examples "${EXAMPLES:-30}" -c not_a_server_error,status_code_conformance,content_type_conformance \
    -c response_schema_conformance,response_headers_conformance)
}

# missing NAME: prints why a name cannot run here.
missing() {
  local needs=go
  case $1 in
  openapi-fetch | hey-api | redocly | spectral) needs="node npm npx" ;;
  openapi-python-client | schemathesis) needs=python3 ;;
  openapi-generator) needs="java mvn" ;;
  esac
  for program in $needs; do
    command -v "$program" >/dev/null || { echo "$program is not installed"; return; }
  done
}

# matrix prints the calls of all clients that ran: the statuses of each operation that were wanted and came.
matrix() {
  awk '{ calls[$2, $1] = index(" " calls[$2, $1] " ", " " $3 " ") ? calls[$2, $1] : calls[$2, $1] " " $3
         if (!seen[$2]++) order[++n] = $2; if (!(($1) in client)) { client[$1]; name[++m] = $1 } }
       END { line = "| operation |"; rule = "|---|"
             for (i = 1; i <= m; i++) { line = line " " name[i] " |"; rule = rule "---|" }
             print line; print rule
             for (o = 1; o <= n; o++) { line = "| " order[o] " |"
               for (i = 1; i <= m; i++) line = line (calls[order[o], name[i]] ? calls[order[o], name[i]] : " –") " |"
               print line } }' "$work/calls"
}

# compare NAME generates a client, runs it against a server, and keeps what its calls answered.
compare() {
  case " $clients " in
  *" $1 "*) ;;
  *)
    echo "there is no $1"
    return 1
    ;;
  esac
  if (generate "$1") >"$work/$1.log" 2>&1 && serve "$1" && run_client "$1" >"$work/$1.calls" 2>>"$work/$1.log"; then
    sed -n "s/^\([A-Za-z]* [0-9]*\)$/$1 \1/p" "$work/$1.calls" >>"$work/calls"
    return
  fi
  cat "$work/$1.log" "$work/$1.calls" 2>/dev/null || true
  return 1
}

# A name that was asked for has to run; of all of them, those that can.
if [ $# -gt 0 ]; then
  for name in $names; do
    reason=$(missing "$name")
    [ -z "$reason" ] || { echo "$name cannot run: $reason" >&2; exit 1; }
  done
fi
(cd "$root" && CGO_ENABLED=0 go build -o "$work/recount" ./deploy/recount)
: >"$work/calls"
for name in $names; do
  reason=$(missing "$name")
  if [ -n "$reason" ]; then
    echo "skip $name: $reason"
    continue
  fi
  echo "== $name"
  started=$SECONDS
  case $name in
  redocly | spectral) (lint "$name") >"$work/$name.log" 2>&1 || { cat "$work/$name.log"; failed="$failed $name"; } ;;
  schemathesis) serve "$name" && attack || failed="$failed $name" ;;
  *) compare "$name" || failed="$failed $name" ;;
  esac
  stop
  echo "$name: $((SECONDS - started)) s"
done
[ ! -s "$work/calls" ] || matrix
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
