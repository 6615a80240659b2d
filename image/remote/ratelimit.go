package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limit is how much a registry allows, as Docker Hub says it
// (https://docs.docker.com/docker-hub/usage/pulls/): "RateLimit-Limit: 100;w=21600",
// "RateLimit-Remaining: 76;w=21600". The zero value: it says nothing.
type limit struct {
	of, left int
	window   time.Duration // 0: not said
}

func readLimit(h http.Header) limit {
	var l limit
	of, params, _ := strings.Cut(h.Get("RateLimit-Limit"), ";")
	left, _, _ := strings.Cut(h.Get("RateLimit-Remaining"), ";")
	var err error
	if l.of, err = strconv.Atoi(strings.TrimSpace(of)); err != nil || l.of <= 0 {
		return limit{}
	}
	if l.left, err = strconv.Atoi(strings.TrimSpace(left)); err != nil || l.left < 0 {
		return limit{}
	}
	if w, ok := strings.CutPrefix(strings.TrimSpace(params), "w="); ok {
		if seconds, err := strconv.ParseUint(w, 10, 31); err == nil {
			l.window = time.Duration(seconds) * time.Second
		}
	}
	return l
}

// low tells whether the user ought to hear of it.
func (l limit) low() bool { return l.of > 0 && l.left*10 <= l.of }

// String is as "100 in 6h0m0s".
func (l limit) String() string {
	if l.window == 0 {
		return strconv.Itoa(l.of)
	}
	return fmt.Sprintf("%d in %s", l.of, l.window)
}

// firstMessage finds the text in a registry's errors
// (https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes).
// Control characters do not get to the user's terminal.
func firstMessage(body []byte) string {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	const longest = 500
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, answer.Errors[0].Message)
	return text[:min(len(text), longest)]
}

type noticeKey struct{}

// Notify makes requests with the context tell what their user should know while
// it happens: that a registry has them wait, that little is left of what it
// allows. tell may be called from several goroutines at once.
func Notify(ctx context.Context, tell func(text string)) context.Context {
	return context.WithValue(ctx, noticeKey{}, tell)
}

func notice(ctx context.Context, text string) {
	if tell, ok := ctx.Value(noticeKey{}).(func(string)); ok {
		tell(text)
	}
}
