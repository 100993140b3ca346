#!/bin/sh
# A worker whose server knows nothing of drover: this script speaks for it, then becomes it. A second process answers requests.
. "$DROVER_SOURCE/examples/clients/sh/drover_channel.sh"
drover_send '{"type":"health","data":{"memory":12345678,"cpu":7}}'
drover_send '{"type":"metrics","data":{"starts":1,"slot":'"$DROVER_WORKER"'}}'
drover_send 'two
lines'
echo "two lines: $?"

while IFS= read -r line <&"$DROVER_CHANNEL_FD"; do
  case $line in
    *'"type":"echo"'*)
      id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
      drover_send "{\"type\":\"response\",\"originalId\":\"$id\",\"data\":{\"data\":${#line},\"by\":\"sh\"},\"error\":null}" ;;
    *'"type":"note-please"'*)
      drover_send "{\"type\":\"note\",\"data\":\"$(head -c 70000 /dev/zero | tr '\0' x)\",\"target\":\"py.1\"}" ;;
    *'"type":"count"'*)
      drover_send '{"type":"state:incr","id":1,"data":{"key":"counted"}}' ;;
    *'"type":"response"'*) echo "answered: $line" ;;
  esac
done &

eval "exec python3 -m http.server --bind 127.0.0.1 $PORT $DROVER_CHANNEL_FD>&-"
