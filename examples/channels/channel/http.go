package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// httpEnd posts each message to its receiver, who answers when it has it: neither
// lost nor doubled, because nobody asks again when an answer fails to come.
type httpEnd struct {
	inbox
	client *http.Client
}

const httpPort = "8080"

func openHTTP(ctx context.Context, keepAlive bool) (*httpEnd, error) {
	c := &httpEnd{newInbox(), &http.Client{Transport: &http.Transport{
		DisableKeepAlives: !keepAlive, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
	}}}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+httpPort)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(c.receive), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	go func() {
		if err := srv.Serve(l); err != http.ErrServerClosed {
			fmt.Fprintln(os.Stderr, "http:", err)
		}
	}()
	return c, nil
}

func (c *httpEnd) receive(w http.ResponseWriter, r *http.Request) {
	var m Message
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.put(r.Context(), m)
	w.WriteHeader(http.StatusNoContent)
}

func (c *httpEnd) Send(ctx context.Context, to string, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+net.JoinHostPort(to, httpPort)+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s answers %s", to, resp.Status)
	}
	return nil
}
