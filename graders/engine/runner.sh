# Runs the grader's commands on a graded node. Interpreted by the pushed busybox (ash), in a folder of its own.
# Standard input, one request a line:  ID SECONDS MODE TEXT   or   F  (send what is done)
#   MODE: n = by the node's /bin/sh, t = by busybox alone (trusted tools); upper case: TEXT is escaped for printf %b.
# Standard output:  "P NONCE VERSION EPOCH BOOT_ID" once, then blocks:
#   "B NONCE COUNT", COUNT lines "ID STATUS BEGAN ENDED OUT_BYTES ERR_BYTES", then all the bytes in that order.
# A worker runs the commands in a session of its own; this shell watches it, kills it when a command is late, and sends.
nonce=$1
cap=$2
idle=$3
umask 077
trap : HUP PIPE TERM
mkfifo f || exit 90
exec 3<>f 4<&0
read -r boot </proc/sys/kernel/random/boot_id
echo "P $nonce 1 $EPOCHREALTIME $boot"

worker='
generation=$1 cap=$2 n=0
while IFS= read -r line <&4; do
  [ "$line" = F ] && { echo "flush $generation" >&3; exit; }
  id=${line%% *} line=${line#* }
  seconds=${line%% *} line=${line#* }
  mode=${line%% *} text=${line#* }
  case $mode in N|T) text=$(printf "%b." "$text"); text=${text%.};; esac
  echo "begin $generation $id $seconds" >&3
  read -r began _ </proc/uptime
  (
    ulimit -f "$cap"
    exec 3>&- 4<&-
    case $mode in t|T) eval "$text";; *) exec /bin/sh -c "$text";; esac
  ) >"o$id" 2>"e$id" </dev/null
  status=$?
  read -r ended _ </proc/uptime
  echo "$id $status $began $ended" >>i
  echo "end $generation" >&3
  n=$((n + 1))
  [ $n -lt 64 ] || { echo "flush $generation" >&3; exit; }
done
echo "quit $generation" >&3
'

send() {
  count=0 files= index=
  while read -r id status began ended; do
    count=$((count + 1))
    files="$files o$id e$id"
    index="$index$id $status $began $ended
"
  done <i
  [ $count -gt 0 ] || { [ "$what" != flush ] || echo "B $nonce 0"; return; }
  set -- $(stat -c %s $files)
  echo "B $nonce $count"
  echo "$index" | while read -r id status began ended; do
    [ -z "$id" ] || echo "$id $status $began $ended $1 $2"
    shift 2
  done
  cat $files
  rm -f $files i
}

generation=0 what=
while [ "$what" != quit ]; do
  generation=$((generation + 1))
  : >i
  setsid "$PWD/busybox" ash -c "$worker" worker $generation "$cap" <&4 >/dev/null 2>&1 &
  group=$!
  limit=$idle id= began=0
  while :; do
    if read -r -t "$limit" what from next seconds <&3; then
      [ "$from" = $generation ] || continue
      case $what in
      begin) id=$next limit=$seconds; read -r began _ </proc/uptime ;;
      end) id= limit=$idle ;;
      *) break ;;
      esac
    else
      what=late
      break
    fi
  done
  kill -9 "-$group" 2>/dev/null
  wait $group
  if [ $what = late ]; then
    [ -n "$id" ] || break
    read -r ended _ </proc/uptime
    echo "$id killed $began $ended" >>i
  fi
  send
done
cd /
rm -rf "$OLDPWD"
