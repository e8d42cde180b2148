package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const exampleLine = `{"type":"audit","time":"2026-11-21T08:00:00.007Z","instance":"gw1","session":"s1","user":"alice",` +
	`"issuer":"https://issuer.test","client_id":"web-1","remote":"198.51.100.7:4711","action":"publish",` +
	`"topic":"chat/messages/bob/alice","qos":1,"retain":true,"bytes":12,"decision":"refused",` +
	`"reason":"not_authorized","rule":"acl:3","count":2}` + "\n"

const emptyLine = `{"type":"audit","time":"0001-01-01T00:00:00.000Z","instance":"","session":"","user":"","issuer":"","client_id":"",` +
	`"remote":"","action":"","topic":"","qos":0,"retain":false,"bytes":0,"decision":"","reason":"","rule":"","count":0}` + "\n"

func TestEventIsOneLineOfJSON(t *testing.T) {
	var b bytes.Buffer
	if err := NewWriterSink(&b).Write(t.Context(), []Event{exampleEvent(), {}}); err != nil {
		t.Fatalf("Write() = %v", err)
	}
	if got, want := b.String(), exampleLine+emptyLine; got != want {
		t.Errorf("Write wrote\n%swant\n%s", got, want)
	}
	marshalled, err := json.Marshal(exampleEvent())
	if err != nil || string(marshalled)+"\n" != exampleLine {
		t.Errorf("Marshal() = %s, %v; want %s", marshalled, err, exampleLine)
	}
}

func TestFlatFieldsAreThoseOfTheJSON(t *testing.T) {
	e := exampleEvent()
	var want []string
	for part := range strings.SplitSeq(strings.Trim(exampleLine, "{}\n"), ",") {
		name, value, _ := strings.Cut(part, ":")
		want = append(want, strings.Trim(name, `"`), strings.Trim(value, `"`))
	}
	if got := e.flat(); !slices.Equal(got, want) {
		t.Errorf("flat() = %q; want %q", got, want)
	}
}

func TestControlCharactersStayEscaped(t *testing.T) {
	// Each control character of the Basic Latin and Latin-1 blocks, and others that are kept.
	var s strings.Builder
	for r := rune(0); r < 0x100; r++ {
		s.WriteRune(r)
	}
	s.WriteString("\u2028 \\ \" </script> \u00a0 é 漢 😀")
	for _, topic := range []string{s.String(), "\x1b[2J\u009b31m", strings.Repeat("a", 10)} {
		e := Event{Topic: topic, ClientID: topic, Count: 1}
		var b bytes.Buffer
		if err := e.encode(&b); err != nil {
			t.Fatalf("encode() = %v", err)
		}
		line, ended := strings.CutSuffix(b.String(), "\n")
		if at := strings.IndexFunc(line, unicode.IsControl); at >= 0 || !ended {
			t.Errorf("encode(%q) has a control character at %d: %q", topic, at, line)
		}
		var back Event
		if err := json.Unmarshal([]byte(line), &back); err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("decoded again: %+v, %v; want %+v", back, err, e)
		}
	}
}

// shortWriter takes so many bytes and fails, then the next number of bytes.
type shortWriter struct {
	bytes.Buffer
	takes []int
}

func (w *shortWriter) Write(p []byte) (int, error) {
	if len(w.takes) == 0 {
		return w.Buffer.Write(p)
	}
	n := min(w.takes[0], len(p))
	w.takes = w.takes[1:]
	w.Buffer.Write(p[:n])
	return n, errors.New("short")
}

func TestTornLineIsCompletedNotRepeated(t *testing.T) {
	events := []Event{exampleEvent(), {}, exampleEvent()}
	want := exampleLine + emptyLine + exampleLine
	for first := range len(want) {
		for _, second := range []int{0, 1, len(emptyLine)} {
			w := &shortWriter{takes: []int{first, second}}
			sink, rest := NewWriterSink(w), events
			for tries := 0; ; tries++ {
				err := sink.Write(t.Context(), rest)
				if err == nil {
					break
				}
				partial, ok := errors.AsType[*WriteError](err)
				if !ok || tries > len(w.takes)+2 {
					t.Fatalf("Write() = %v after %d tries; want a *WriteError twice", err, tries)
				}
				rest = rest[partial.Written:]
			}
			if w.String() != want {
				t.Fatalf("cut after %d and %d bytes: written\n%swant\n%s", first, second, w, want)
			}
		}
	}
}

func TestBatchIsOneWrite(t *testing.T) {
	w := &countingWriter{}
	if err := NewWriterSink(w).Write(t.Context(), slices.Repeat([]Event{exampleEvent()}, maxBatch)); err != nil || w.writes != 1 {
		t.Errorf("Write() = %v with %d writes; want 1", err, w.writes)
	}
}

type countingWriter struct{ writes int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	return len(p), nil
}
