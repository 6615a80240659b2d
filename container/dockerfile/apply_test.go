package dockerfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestApply(t *testing.T) {
	base := func() *container.Config {
		return &container.Config{Cmd: []string{"old"}, Env: []string{"A=1", "PATH=/bin"}, WorkingDir: "/srv", Labels: map[string]string{"x": "y"}}
	}
	for _, c := range []struct {
		lines []string
		want  string // JSON of what must be in the result
	}{
		{nil, `{"Cmd":["old"],"WorkingDir":"/srv"}`},
		{[]string{`CMD ["a", "b"]`}, `{"Cmd":["a","b"]}`},
		{[]string{`CMD a b`}, `{"Cmd":["/bin/sh","-c","a b"]}`},
		{[]string{`SHELL ["/bin/bash","-c"]`, `CMD a`}, `{"Cmd":["/bin/bash","-c","a"]}`},
		{[]string{`ENTRYPOINT ["e"]`}, `{"Entrypoint":["e"],"Cmd":null}`},
		{[]string{`CMD ["c"]`, `ENTRYPOINT ["e"]`}, `{"Entrypoint":["e"],"Cmd":["c"]}`},
		{[]string{`ENV A=2 B="x y"`, `ENV C=$A`}, `{"Env":["A=2","PATH=/bin","B=x y","C=2"]}`},
		{[]string{`env D e f`}, `{"Env":["A=1","PATH=/bin","D=e f"]}`},
		{[]string{`EXPOSE 80 53/udp`, `EXPOSE 8080:90`}, `{"ExposedPorts":{"80/tcp":{},"53/udp":{},"90/tcp":{}}}`},
		{[]string{"LABEL a=b\nLABEL c=$A"}, `{"Labels":{"x":"y","a":"b","c":"1"}}`},
		{[]string{`ONBUILD RUN make`}, `{"OnBuild":["RUN make"]}`},
		{[]string{`USER 7:8`, `STOPSIGNAL SIGINT`}, `{"User":"7:8","StopSignal":"SIGINT"}`},
		{[]string{`VOLUME ["/a b"]`}, `{"Volumes":{"/a b":{}}}`},
		{[]string{`WORKDIR sub`, `WORKDIR ../z`}, `{"WorkingDir":"/srv/z"}`},
		{[]string{`HEALTHCHECK --retries=2 CMD true`}, `{"Healthcheck":{"Test":["CMD-SHELL","true"],"Retries":2}}`},
		{[]string{`HEALTHCHECK NONE`}, `{"Healthcheck":{"Test":["NONE"]}}`},
	} {
		before := base()
		got, err := Apply(before, c.lines)
		if err != nil {
			t.Errorf("%q: %v", c.lines, err)
			continue
		}
		var want, have map[string]any
		data, _ := json.Marshal(got)
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &have); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			a, _ := json.Marshal(value)
			if b, _ := json.Marshal(have[key]); string(a) != string(b) {
				t.Errorf("%q: %s is %s, want %s", c.lines, key, b, a)
			}
		}
		a, _ := json.Marshal(before)
		if b, _ := json.Marshal(base()); string(a) != string(b) {
			t.Errorf("%q changed its argument: %s", c.lines, a)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"RUN rm -rf /": "RUN is not a valid change command", "FROM x": "FROM is not a valid change command", "ADD a b": "valid change",
		"EXPOSE no": "invalid port", "CMD": "", "nonsense": "not a valid change command", "HEALTHCHECK --retries=x CMD a": "",
		"ONBUILD FROM x": "", "VOLUME [\"\"]": "empty",
	} {
		_, err := Apply(&container.Config{}, []string{line})
		if line == "CMD" { // means: none
			continue
		}
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// FuzzApply: what a client sends gives a configuration or an error of its kind.
func FuzzApply(f *testing.F) {
	f.Add("CMD a\nENV A=$B")
	f.Add("# escape=`\nLABEL x=<<E\ny\nE")
	f.Add("EXPOSE 1-65535")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Apply(&container.Config{Env: []string{"B=c"}}, []string{text}); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Fatal(err)
		}
	})
}
