#!/bin/sh
# codedeploy-agent start|stop|status
pid_file=/opt/codedeploy-agent/state/.pid/codedeploy-agent.pid

# The whole command line: after a restart of the host the file's number can be anyone's, this script's or a child's of it included.
alive() {
    [ -s "$pid_file" ] && pid=$(cat "$pid_file") && [ -r "/proc/$pid/cmdline" ] &&
        [ "$(tr '\0' ' ' < "/proc/$pid/cmdline")" = 'python3 -m agent ' ]
}

case ${1:-} in
    start)
        alive && exit 0
        rm -f "$pid_file"
        cd /
        PYTHONPATH=/opt/localaws PYTHONDONTWRITEBYTECODE=1 setsid python3 -m agent \
            >> /var/log/aws/codedeploy-agent/codedeploy-agent.log 2>&1 < /dev/null &
        tries=0
        until alive; do
            tries=$((tries + 1))
            [ "$tries" -le 100 ] || { echo 'the agent did not start within 10 s'; exit 1; }
            sleep 0.1
        done
        ;;
    stop)
        alive && kill "$pid"
        ;;
    status)
        if alive; then
            echo "The AWS CodeDeploy agent is running as PID $pid"
        else
            echo 'error: No AWS CodeDeploy agent running'
            exit 3
        fi
        ;;
    *)
        echo "usage: $0 start|stop|status"
        exit 2
        ;;
esac
