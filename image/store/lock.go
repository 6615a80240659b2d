package store

import (
	"context"
	"sync"
)

// KeyedLock is a mutex per key. The zero value is ready. It is what containerd's
// unpacker asks for to let several pulls share one download.
type KeyedLock struct {
	mu   sync.Mutex
	held map[string]*keyedEntry
}

type keyedEntry struct {
	users int
	sem   chan struct{}
}

// Lock waits for the key or the end of ctx.
func (l *KeyedLock) Lock(ctx context.Context, key string) error {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*keyedEntry{}
	}
	e := l.held[key]
	if e == nil {
		e = &keyedEntry{sem: make(chan struct{}, 1)}
		l.held[key] = e
	}
	e.users++
	l.mu.Unlock()
	select {
	case e.sem <- struct{}{}:
		return nil
	case <-ctx.Done():
		l.leave(key, e)
		return ctx.Err()
	}
}

// Unlock lets go of the key, which must be held.
func (l *KeyedLock) Unlock(key string) {
	l.mu.Lock()
	e := l.held[key]
	l.mu.Unlock()
	if e == nil {
		panic("image/store: unlock of a key that is not locked: " + key)
	}
	<-e.sem
	l.leave(key, e)
}

func (l *KeyedLock) leave(key string, e *keyedEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(l.held, key)
	}
}
