package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berth-engine/berth/test/measured"
)

// lampEach is how many processors each web server may use at first, as the
// example's compose.yaml says.
const lampEach = 0.2

// lampScale scales the web servers out, then up, under load all the while.
func (s *stage) lampScale(ctx context.Context, page string) ([]lampRow, error) {
	l := startLoad(ctx, page, lampUsers)
	defer l.end()
	var rows []lampRow
	measure := func(what string, servers int, each float64) error {
		since, err := watch()
		if err != nil {
			return err
		}
		l.take() // what came before does not count
		begin := time.Now()
		select {
		case <-time.After(lampTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		row := lampRow{What: what, Servers: servers, Allowed: each * float64(servers)}
		if row.Web, err = s.used(ctx); err != nil {
			return err
		}
		took := time.Since(begin)
		w := l.take()
		if row.Machine, err = since(); err != nil {
			return err
		}
		row.Took, row.Failed, row.Seconds = measured.Milliseconds(w.took), len(w.failed), took.Seconds()
		rows = append(rows, row)
		fmt.Fprintf(s.out, "%.0f requests/s, %d failed; served by %d containers\n", row.rate(), row.Failed, len(w.by))
		if n := len(rows); n > 1 {
			fmt.Fprintln(s.out, explain(rows[n-2], rows[n-1], runtime.NumCPU()))
		}
		if len(w.by) != servers {
			return fmt.Errorf("%d servers answered, %d run: %v", len(w.by), servers, w.by)
		}
		return w.check()
	}
	if err := measure("one web server", 1, lampEach); err != nil {
		return nil, err
	}
	for _, n := range []int{2, 4} {
		s.heading(fmt.Sprintf("Scaled out to %d web servers, while users are there", n))
		w, err := l.during(func() error {
			return s.lampCompose(ctx, "up", "--detach", "--wait", "--no-build", "--scale", fmt.Sprintf("web=%d", n))
		})
		if err := errors.Join(err, w.check()); err != nil {
			return nil, fmt.Errorf("while scaling: %w", err)
		}
		if err := measure(fmt.Sprintf("%d web servers", n), n, lampEach); err != nil {
			return nil, err
		}
	}
	s.heading("Scaled up: each web server may use twice as much, at once")
	w, err := l.during(func() error { return s.lampUpdate(ctx) })
	if err := errors.Join(err, w.check()); err != nil {
		return nil, fmt.Errorf("while updating: %w", err)
	}
	err = measure("4 web servers, twice as much each", 4, 2*lampEach)
	return rows, err
}

func (s *stage) lampUpdate(ctx context.Context) error {
	ids, err := s.ask(ctx, "ps", "--quiet", "--filter", "label=com.docker.compose.service=web")
	if err != nil {
		return err
	}
	return s.show(ctx, io.Discard, append([]string{"update", "--cpus", "0.4", "--memory", "256m", "--memory-swap", "256m"}, strings.Fields(string(ids))...)...)
}

// check is an error when a request failed.
func (w window) check() error {
	if len(w.failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d requests failed, the first: %w", len(w.failed), w.failed[0])
}

func lampTable(f lampFile) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tREQUESTS/S\t99 % WITHIN\tFAILED\tSERVERS MAY USE\tUSED\tWHOLE MACHINE")
	for _, r := range f.Rows {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f ms\t%d of %d\t%.1f CPUs\t%.1f\t%.1f of %d\n", r.What, r.rate(), measured.Within(r.Took, 0.99),
			r.Failed, r.Failed+len(r.Took), r.Allowed, r.Web, r.Machine, f.Processors)
	}
	_ = w.Flush() // into memory
	return b.String()
}

// lampData shows that what was written outlives the containers.
func (s *stage) lampData(ctx context.Context, page string) error {
	s.heading("Data outlives the containers")
	before, err := countNotes(ctx, page)
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"down"}, {"up", "--detach", "--wait", "--no-build"}} {
		if err := s.lampCompose(ctx, args...); err != nil {
			return err
		}
	}
	after, err := countNotes(ctx, page)
	if err != nil {
		return err
	}
	if before == "0" || before != after {
		return fmt.Errorf("%s notes before down, %s after up", before, after)
	}
	fmt.Fprintf(s.out, "%s notes before, %s after\n", before, after)
	return s.lampCompose(ctx, "down", "--volumes", "--rmi", "all")
}

// writeNotes writes in the guest book as a browser would.
func writeNotes(ctx context.Context, page string, n int) error {
	for i := range n {
		form := url.Values{"text": {fmt.Sprintf("note %d", i+1)}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, page, strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req) // follows to the page
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), form.Get("text")) {
			return fmt.Errorf("note %d does not show: %s %w\n%s", i+1, resp.Status, err, body)
		}
	}
	return nil
}

var noteCount = regexp.MustCompile(`<p>([0-9]+) notes`)

func countNotes(ctx context.Context, page string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	m := noteCount.FindSubmatch(body)
	if m == nil {
		return "", fmt.Errorf("the page does not say how many notes there are: %s\n%s", resp.Status, body)
	}
	return string(m[1]), nil
}
