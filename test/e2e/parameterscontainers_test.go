package e2e

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
)

// prepare makes what the rows look at: "runs" runs and has written on both
// streams, "made" was never started, "attested" is an image with a provenance.
func (w *walk) prepare() {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM busybox\nRUN echo once\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	login, guard := `{"username":"walker","password":"right"}`, w.guard()
	encode := base64.URLEncoding.EncodeToString
	w.words = strings.NewReplacer("HUB", hub.Addr, "GUARD", guard, "CONTEXT", dir, "LOGINS", encode([]byte(`{"`+guard+`":`+login+`}`)), "LOGIN", encode([]byte(login)))
	w.do(`berth pull -q busybox
		berth run -d --name runs -v used:/v busybox sh -c 'echo out; echo err >&2; echo ready; exec sleep 100000'
		berth create --name made busybox true
		berth network create walked
		berth build -q --provenance=true -t attested CONTEXT
		ready runs`)
	w.do("berth commit runs kept:1")
	w.saved = strings.TrimPrefix(w.ask(http.MethodGet, "/images/kept:1/get", "", &parameter{}), "200\n")
	w.do("berth rmi kept:1")
}

// guard is a registry that wants a login and has nothing.
func (w *walk) guard() (addr string) {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch user, password, _ := r.BasicAuth(); {
		case user != "walker" || password != "right":
			rw.Header().Set("WWW-Authenticate", `Basic realm="walked"`)
			http.Error(rw, "unauthorized", http.StatusUnauthorized)
		case r.URL.Path != "/v2/":
			http.NotFound(rw, r)
		}
	}))
	w.t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func (w *walk) tidy() {
	w.t.Helper()
	w.do(`berth rm -fv runs made
		berth network rm walked
		berth rmi -f attested
		berth builder prune -af
		berth volume rm used`)
}

const (
	// xx is a container of a row.
	runX = "berth run -d --name xx --label walk=1 "
	// trapping says how it ended.
	trapping = runX + `busybox sh -c 'trap "exit 7" USR1; trap "sleep 1; exit 9" TERM; echo ready; while :; do sleep 0.05; done'
		ready xx`
	endedX = `berth inspect -f 'code={{.State.ExitCode}};' xx`
	newX   = `{"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": {"walk": "1"}}`
)

var containerParameters = []parameter{
	{of: "GET /containers/json all", without: "/containers/json", with: "/containers/json?all=1", want: `"/made"`},
	{of: "GET /containers/json limit", without: "/containers/json?all=1", with: "/containers/json?all=1&limit=1", want: `!"/runs"`},
	{of: "GET /containers/json size", without: "/containers/json", with: "/containers/json?size=1", want: `"SizeRootFs":`},
	{of: "GET /containers/json filters", without: "/containers/json?all=1", with: `/containers/json?all=1&filters={"name":["runs"]}`, want: `!"/made"`},
	{of: "POST /containers/create name", without: "/containers/create " + newX, with: "/containers/create?name=walking " + newX, look: "berth ps -a", want: "walking"},
	{of: "POST /containers/create platform", without: "/containers/create " + newX, with: "/containers/create?platform=linux/s390x " + newX, want: "404"},
	{of: "GET /containers/{id}/json size", without: "/containers/runs/json", with: "/containers/runs/json?size=1", want: `"SizeRw":`},
	{of: "GET /containers/{id}/top ps_args", without: "/containers/runs/top", with: "/containers/runs/top?ps_args=-o%20pid", want: `"Titles":["PID"]`},
	{of: "GET /containers/{id}/logs stdout", without: "/containers/runs/logs?stderr=1", with: "/containers/runs/logs?stderr=1&stdout=1", want: "out\n"},
	{of: "GET /containers/{id}/logs stderr", without: "/containers/runs/logs?stdout=1", with: "/containers/runs/logs?stderr=1&stdout=1", want: "err\n"},
	{of: "GET /containers/{id}/logs since", without: "/containers/runs/logs?stdout=1", with: "/containers/runs/logs?stdout=1&since=9999999999", want: "!out\n"},
	{of: "GET /containers/{id}/logs until", without: "/containers/runs/logs?stdout=1", with: "/containers/runs/logs?stdout=1&until=1", want: "!out\n"},
	{of: "GET /containers/{id}/logs timestamps", without: "/containers/runs/logs?stdout=1", with: "/containers/runs/logs?stdout=1&timestamps=1", want: "Z out\n"},
	{of: "GET /containers/{id}/logs tail", without: "/containers/runs/logs?stdout=1", with: "/containers/runs/logs?stdout=1&tail=1", want: "!out\n"},
	{
		of: "GET /containers/{id}/logs follow", before: runX + "-i busybox sh -c 'echo ready; while [ ! -e /go ]; do sleep 0.05; done; echo more'\nready xx",
		without: "/containers/xx/logs?stdout=1&tail=1&until=4000000000", with: "/containers/xx/logs?stdout=1&follow=1", during: "berth exec xx touch /go", want: "more",
	},
	{of: "GET /containers/{id}/stats stream", without: "/containers/runs/stats?stream=0", with: "/containers/runs/stats?stream=1", lines: 2, want: "!EOF"},
	{of: "GET /containers/{id}/stats one-shot", without: "/containers/runs/stats?stream=0", with: "/containers/runs/stats?stream=0&one-shot=1", want: `"preread":"0001-01-01T00:00:00Z"`},
	{of: "POST /containers/{id}/resize h", before: runX + "-t busybox sleep 1000", without: "/containers/xx/resize?h=10&w=20", with: "/containers/xx/resize?h=11&w=20", look: "berth exec xx stty -F /proc/1/fd/0 size", want: "11 20"},
	{of: "POST /containers/{id}/resize w", before: runX + "-t busybox sleep 1000", without: "/containers/xx/resize?h=10&w=20", with: "/containers/xx/resize?h=10&w=21", look: "berth exec xx stty -F /proc/1/fd/0 size", want: "10 21"},
	{of: "POST /containers/{id}/stop signal", before: trapping, without: "/containers/xx/stop?t=20", with: "/containers/xx/stop?t=20&signal=USR1", look: endedX, want: "code=7;"},
	{of: "POST /containers/{id}/stop t", before: trapping, without: "/containers/xx/stop", with: "/containers/xx/stop?t=0", look: endedX, want: "code=137;"},
	{of: "POST /containers/{id}/restart signal", before: runX + `busybox sh -c 'trap "echo usr1; exit" USR1; trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
		ready xx`, without: "/containers/xx/restart?t=20", with: "/containers/xx/restart?t=20&signal=USR1", look: "berth logs xx", want: "usr1"},
	{of: "POST /containers/{id}/restart t", before: runX + `busybox sh -c 'trap "sleep 1; echo term; exit" TERM; echo ready; while :; do sleep 0.05; done'
		ready xx`, without: "/containers/xx/restart?t=20", with: "/containers/xx/restart?t=0", look: "berth logs xx", want: "!term"},
	{of: "POST /containers/{id}/kill signal", before: trapping, without: "/containers/xx/kill", with: "/containers/xx/kill?signal=USR1", look: endedX, want: "code=7;"},
	{of: "POST /containers/{id}/rename name", before: runX + "busybox true", without: "/containers/xx/rename?name=x1", with: "/containers/xx/rename?name=x2", look: "berth ps -a", want: " x2\n"},
	{of: "POST /containers/{id}/wait condition", before: runX + "busybox sh -c '[ ! -e /f ] || exit 3; touch /f'\nberth wait xx", without: "/containers/xx/wait", with: "/containers/xx/wait?condition=next-exit", during: "berth start xx", want: `"StatusCode":3`},
	{of: "DELETE /containers/{id} v", before: "berth create --name xx --label walk=1 -v /anon busybox", without: "/containers/xx", with: "/containers/xx?v=1", look: "berth volume ls -f dangling=true --format 'left={{.Driver}}'", want: "!left="},
	{of: "DELETE /containers/{id} force", before: runX + "busybox sleep 1000", without: "/containers/xx", with: "/containers/xx?force=1", want: "204"},
	{of: "DELETE /containers/{id} link", before: "berth create --name xx --label walk=1 --link runs:al busybox", without: "/containers/xx/al", with: "/containers/xx/al?link=1", want: "204"},
	{of: "HEAD /containers/{id}/archive path", without: "/containers/runs/archive?path=/etc", with: "/containers/runs/archive?path=/etc/passwd", want: `"name":"passwd"`},
	{of: "GET /containers/{id}/archive path", without: "/containers/runs/archive?path=/etc/group", with: "/containers/runs/archive?path=/etc/passwd", want: "passwd"},
	{of: "PUT /containers/{id}/archive path", before: runX + "busybox sleep 1000", without: "/containers/xx/archive?path=/tmp tar f=text", with: "/containers/xx/archive?path=/root tar f=text", look: "berth exec xx cat /root/f", want: "text"},
	{of: "PUT /containers/{id}/archive body", before: runX + "busybox sleep 1000", without: "/containers/xx/archive?path=/tmp tar f=text", with: "/containers/xx/archive?path=/tmp tar f=other", look: "berth exec xx cat /tmp/f", want: "other"},
	{of: "PUT /containers/{id}/archive noOverwriteDirNonDir", before: runX + "busybox sh -c 'mkdir /tmp/f; echo ready; exec sleep 1000'\nready xx", without: "/containers/xx/archive?path=/tmp tar f=text", with: "/containers/xx/archive?path=/tmp&noOverwriteDirNonDir=1 tar f=text", want: "400"},
	{of: "PUT /containers/{id}/archive copyUIDGID", before: runX + "-u 1000 busybox sleep 1000", without: "/containers/xx/archive?path=/tmp tar f=text", with: "/containers/xx/archive?path=/tmp&copyUIDGID=1 tar f=text", look: "berth exec xx stat -c owner=%u; /tmp/f", want: "owner=1000;"},
	{of: "POST /containers/prune filters", before: runX + "busybox true\nberth wait xx", without: "/containers/prune?filters={\"label\":[\"walk=1\"]}", with: "/containers/prune?filters={\"label\":[\"walk=2\"]}", look: "berth ps -a", want: " xx\n"},
	{of: "POST /containers/{id}/start detachKeys", before: "berth create -it --name xx --label walk=1 busybox", without: "/containers/xx/start?detachKeys=ctrl-a", with: "/containers/xx/start?detachKeys=ctrl-nope", want: "400"},

	{of: "POST /commit container", without: "/commit?container=runs&repo=made&tag=1", with: "/commit?container=nobody&repo=made&tag=1", want: "404"},
	{of: "POST /commit repo", without: "/commit?container=runs", with: "/commit?container=runs&repo=made", look: "berth images", want: "made"},
	{of: "POST /commit tag", without: "/commit?container=runs&repo=made", with: "/commit?container=runs&repo=made&tag=2", look: "berth images --format {{.Tag}};", want: "2;"},
	{of: "POST /commit comment", without: "/commit?container=runs&repo=made", with: "/commit?container=runs&repo=made&comment=walking", look: "berth image inspect made", want: `"Comment": "walking"`},
	{of: "POST /commit author", without: "/commit?container=runs&repo=made", with: "/commit?container=runs&repo=made&author=walker", look: "berth image inspect made", want: `"Author": "walker"`},
	{of: "POST /commit changes", without: "/commit?container=runs&repo=made", with: "/commit?container=runs&repo=made&changes=ENV%20A=walked", look: "berth image inspect made", want: "A=walked"},
	{of: "POST /commit pause", before: "berth run -d --name xx --label walk=1 busybox sleep 1000", without: "/commit?container=xx&repo=made&pause=0", with: "/commit?container=xx&repo=made&pause=1", look: "berth events --since 1m --until 0s -f container=xx -f event=pause --format 'did {{.Action}}'", want: "did pause"},
	commits("User", `"walker"`, "{{.Config.User}}", "walker"),
	commits("ExposedPorts", `{"77/tcp": {}}`, "{{.Config.ExposedPorts}}", "77/tcp"),
	commits("Env", `["A=walked"]`, "{{.Config.Env}}", "A=walked"),
	commits("Cmd", `["walk"]`, "{{.Config.Cmd}}", "[walk]"),
	commits("Healthcheck", `{"Test": ["CMD", "walk"]}`, "{{.Config.Healthcheck}}", "walk"),
	commits("Healthcheck.Test", `["CMD", "walk"]`, "{{.Config.Healthcheck.Test}}", "walk"),
	commits("Healthcheck.Interval", `7000000`, "{{.Config.Healthcheck.Interval}}", "7ms"),
	commits("Healthcheck.Timeout", `7000000`, "{{.Config.Healthcheck.Timeout}}", "7ms"),
	commits("Healthcheck.Retries", `7`, "{{.Config.Healthcheck.Retries}};", "7;"),
	commits("Healthcheck.StartPeriod", `7000000`, "{{.Config.Healthcheck.StartPeriod}}", "7ms"),
	commits("Healthcheck.StartInterval", `7000000`, "{{.Config.Healthcheck.StartInterval}}", "7ms"),
	commits("Volumes", `{"/walked": {}}`, "{{.Config.Volumes}}", "/walked"),
	commits("WorkingDir", `"/walked"`, "{{.Config.WorkingDir}}", "/walked"),
	commits("Entrypoint", `["walk"]`, "{{.Config.Entrypoint}}", "[walk]"),
	commits("OnBuild", `["RUN walk"]`, "{{.Config.OnBuild}}", "RUN walk"),
	commits("Labels", `{"walked": "yes"}`, "{{.Config.Labels}}", "walked"),
	commits("StopSignal", `"SIGUSR1"`, "{{.Config.StopSignal}}", "SIGUSR1"),
	commits("Shell", `["walk"]`, "{{.Config.Shell}}", "[walk]"),
}

// commits is the row of a member of what an image is to say.
func commits(member, value, shown, want string) parameter {
	body := `{"` + member + `": ` + value + `}`
	if inner, ok := strings.CutPrefix(member, "Healthcheck."); ok { // of a test that is there in any case
		body = `{"Healthcheck": {"Test": ["CMD", "other"], "` + inner + `": ` + value + `}}`
		if inner == "Test" {
			body = `{"Healthcheck": {"Test": ` + value + `}}`
		}
	}
	return parameter{
		of: "POST /commit body " + member, without: `/commit?container=runs&repo=made {"Healthcheck": {"Test": ["CMD", "other"]}}`,
		with: "/commit?container=runs&repo=made " + body, look: "berth image inspect -f '" + shown + "' made", want: want,
	}
}
