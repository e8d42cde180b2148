package main

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestPartsStopInReverse(t *testing.T) {
	p := newParts()
	var stopped []string // ordered by stop, which waits for each
	for _, name := range []string{"first", "second", "third"} {
		p.start(name, func(ctx context.Context) error {
			<-ctx.Done()
			stopped = append(stopped, name)
			return ctx.Err()
		})
	}
	p.stop()
	if got := strings.Join(stopped, " "); got != "third second first" {
		t.Errorf("stopped %s; want third second first", got)
	}
	select {
	case err := <-p.failed:
		t.Errorf("failed: %v; want nothing, they were told to stop", err)
	default:
	}
}

func TestAPartThatEndsByItselfIsTold(t *testing.T) {
	broken := errors.New("broken")
	for err, want := range map[error]string{broken: "listener: broken", nil: "listener: ended by itself"} {
		p := newParts()
		p.start("listener", func(context.Context) error { return err })
		if got := <-p.failed; got.Error() != want || err != nil && !errors.Is(got, err) {
			t.Errorf("failed = %v; want %s", got, want)
		}
		p.stop()
	}
}
