package cli

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/api"
)

// tracing makes the client say, for each answer, when it came and what the daemon
// did until then, if BERTH_TRACE is set. Nothing is added otherwise.
func (s *Session) tracing() []client.Opt {
	if on := os.Getenv("BERTH_TRACE"); on == "" || on == "0" {
		return nil
	}
	return []client.Opt{
		client.WithHTTPRequestHook(func(r *http.Request) error {
			r.Header.Set(api.TraceHeader, "1")
			return nil
		}),
		client.WithHTTPResponseHook(func(r *http.Response) {
			at := time.Since(s.began)
			fmt.Fprintf(s.IO.Err, "TRACE: %8.3f ms  %s %s: %s\n", float64(at.Nanoseconds())/1e6, r.Request.Method, r.Request.URL.Path,
				readTiming(r.Header.Get(api.TimingHeader)))
		}),
	}
}

// readTiming makes of a header Server-Timing what people read: phases with their
// milliseconds.
func readTiming(header string) string {
	if header == "" {
		return "this daemon tells no phases"
	}
	var out []string
	for header != "" { // names may have commas
		_, desc, _ := strings.Cut(header, `;desc="`)
		name, rest, _ := strings.Cut(desc, `";dur=`)
		dur, next, _ := strings.Cut(rest, ", ")
		out, header = append(out, name+" "+dur), next
	}
	return strings.Join(out, " | ")
}
