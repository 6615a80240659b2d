package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// load asks one address again and again, with a new connection for every
// request, as many users would.
type load struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu     sync.Mutex
	took   []time.Duration // of the answers since the last window
	by     map[string]int  // how many came from which server
	failed []error
}

// window is what happened in one stretch of time.
type window struct {
	took   []time.Duration // of the answers
	by     map[string]int
	failed []error
}

// startLoad begins with so many users at a time. stop ends it.
func startLoad(ctx context.Context, url string, users int) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{stop: cancel, by: map[string]int{}}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range users {
		l.wait.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				server, err := ask(ctx, client, url)
				l.add(ctx, server, time.Since(begin), err)
			}
		})
	}
	return l
}

func (l *load) add(ctx context.Context, server string, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.took = append(l.took, took)
		l.by[server]++
	case ctx.Err() == nil: // not one that the end of the load cut off
		l.failed = append(l.failed, err)
	}
}

// ask fetches one page and says who served it.
func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %.200s", resp.Status, body)
	case len(body) == 0:
		return "", errors.New("an empty page")
	}
	return resp.Header.Get("X-Server"), nil
}

// take is what happened since the last take.
func (l *load) take() window {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := window{took: l.took, by: maps.Clone(l.by), failed: l.failed}
	l.took, l.by, l.failed = nil, map[string]int{}, nil
	return w
}

// during runs f, which changes what the load meets, and says how it met it.
func (l *load) during(f func() error) (window, error) {
	err := f()
	return l.take(), err
}

// end stops the load and waits for its users.
func (l *load) end() {
	l.stop()
	l.wait.Wait()
}
