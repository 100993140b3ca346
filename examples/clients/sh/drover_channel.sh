# shellcheck shell=sh
# The channel between a shell script and drover: source this file (". ./drover_channel.sh"). POSIX shell, no other program.
#
#   drover_send '{"type":"ready"}'                                       # for pools with ready.notify
#   drover_send '{"type":"health","data":{"memory":104857600,"cpu":3}}'  # memory in bytes, cpu in percent of one core
#   drover_send '{"type":"metrics","data":{"orders":17}}'                # drover_worker_reported{pool,worker,name="orders"}
#   drover_send '{"type":"news","data":"hi","target":3}'                 # to worker 3 of this pool; "shop.3", "shop" (all of it)
#   drover_send '{"type":"news","data":"hi","broadcast":true}'           # to all of this pool, this one too
#   drover_send '{"type":"state:incr","id":1,"data":{"key":"starts"}}'   # the answer can be read, see below
#
# 0: written. 1: there is no drover, or it has gone: nothing happens, not even a SIGPIPE. 2: more than one line, which would be two messages.
# It waits while drover does not read. Lines may be long (drover takes 1 MiB); of several processes of one worker only one at a time may write.
#
# Reading, in a process of its own, until drover ends the channel; each line is one message (a JSON parser such as jq takes it apart):
#
#   while IFS= read -r line <&"$DROVER_CHANNEL_FD"; do
#     case $line in
#       *'"type":"response"'*) ;;   # to what was asked with an "id": {"type":"response","originalId":1,"data":{…},"error":null}
#       *'"type":"news"'*) ;;       # another worker's message; if it has an "id", answer:
#     esac                          # drover_send '{"type":"response","originalId":"…","data":"…","error":null}'
#   done &
#
# Messages to a worker that never reads are dropped by drover, oldest first; what it was asked ends in a timeout of the asker. So who only
# sends needs no such loop, but must not ask: unread answers pile up until drover stops reading.
#
# A program that is started and does not know of the channel should not have it: exec program 3>&-  (3: $DROVER_CHANNEL_FD). A redirection
# knows descriptors of one digit only, which is what drover gives.

drover_send() {
  case $1 in
    *'
'*) return 2 ;;
  esac
  [ -n "${DROVER_CHANNEL_FD:-}" ] || return 1
  # In a shell of its own, in which a broken pipe is an error and no signal.
  ( trap '' PIPE; printf '%s\n' "$1" >&"$DROVER_CHANNEL_FD" ) 2>/dev/null || return 1
}
