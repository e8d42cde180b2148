package frames

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var writeSeeds = flag.Bool("seeds", false, "write a few seeds of each fuzz target into testdata/fuzz")

// keep adds a seed, as f.Add does, that stands in testdata/fuzz too: go test -run '^Fuzz' -seeds
func keep(f *testing.F, name string, arguments ...any) {
	f.Helper()
	f.Add(arguments...)
	if !*writeSeeds {
		return
	}
	text := "go test fuzz v1\n"
	for _, a := range arguments {
		if b, isBytes := a.([]byte); isBytes {
			text += fmt.Sprintf("[]byte(%q)\n", b)
		} else {
			text += fmt.Sprintf("%T(%#v)\n", a, a)
		}
	}
	dir := filepath.Join("testdata", "fuzz", f.Name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		f.Fatal(err)
	}
}

// oncePer remembers what a target has kept: one packet of each type and version.
type oncePer map[string]bool

func (o oncePer) keep(f *testing.F, v Version, raw []byte, arguments ...any) {
	name := fmt.Sprintf("%s_%s", strings.ToLower(Type(raw[0]>>4).String()), v)
	if o[name] {
		f.Add(arguments...)
		return
	}
	o[name] = true
	keep(f, name, arguments...)
}

// fuzzPackets runs packets of these types: what parses must encode, in no more bytes,
// and parse again to the same; what does not parse must give an *Error.
func fuzzPackets(f *testing.F, types ...Type) {
	kept := oncePer{}
	for _, tt := range goldenPackets {
		p := cut(f, unhex(f, tt.hex), tt.v)
		if slices.Contains(types, p.Type()) {
			kept.keep(f, tt.v, p.Raw, uint8(tt.v), p.Raw[0], p.Body)
		}
	}
	for _, tt := range refusedPackets {
		raw := unhex(f, tt.hex)
		if p, ok, err := Cut(raw, tt.v, 0); ok && err == nil && p.Type() == types[0] {
			f.Add(uint8(tt.v), p.Raw[0], p.Body)
		}
	}
	for _, tt := range faultyMessages {
		if p := cut(f, unhex(f, tt.hex), tt.v); types[0] == TypePublish {
			f.Add(uint8(tt.v), p.Raw[0], p.Body)
		}
	}
	f.Fuzz(func(t *testing.T, level, first uint8, body []byte) {
		v := []Version{V31, V311, V5}[level%3]
		if !slices.Contains(types, Type(first>>4)) || len(body) > 1<<16 {
			return
		}
		raw := append(appendVarint([]byte{first}, len(body)), body...)
		p, ok, err := Cut(raw, v, 0)
		if err == nil && !ok {
			t.Fatalf("Cut waits for more than all %d bytes", len(raw))
		}
		if err != nil {
			wantError(t, err)
			return
		}
		m, err := parse(p, v)
		if publish, isPublish := m.(*Publish); isPublish && errors.Is(err, ErrFaultyMessage) {
			wantMended(t, *publish, v)
		}
		if err != nil && !errors.Is(err, ErrReasonCode) {
			wantError(t, err)
			return
		}
		if c, isConnect := m.(*Connect); isConnect {
			v = c.Version
		}
		again := m.Append(nil, v)
		if len(again) > len(raw) {
			t.Fatalf("Append writes % x, longer than % x", again, raw)
		}
		m2, err2 := parse(cut(t, again, v), v)
		if !reflect.DeepEqual(m, m2) || (err == nil) != (err2 == nil) {
			t.Fatalf("% x = %+v, %v; written as % x it is %+v, %v", raw, m, err, again, m2, err2)
		}
		if third := m2.Append(nil, v); !bytes.Equal(third, again) {
			t.Fatalf("Append = % x, then % x", again, third)
		}
	})
}

func wantError(t *testing.T, err error) {
	t.Helper()
	if e, isError := errors.AsType[*Error](err); !isError || e.Code < UnspecifiedError || e.Detail == "" {
		t.Fatalf("error %#v; want an *Error with code and detail", err)
	}
}

// wantMended: what is known of a PUBLISH whose message is faulty is a PUBLISH with another Topic Name.
func wantMended(t *testing.T, m Publish, v Version) {
	t.Helper()
	m.TopicName = []byte("a")
	got, err := ParsePublish(cut(t, m.Append(nil, v), v), v)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Fatalf("%+v of a faulty message, written, is %+v, %v", m, got, err)
	}
}

func FuzzConnect(f *testing.F)     { fuzzPackets(f, TypeConnect) }
func FuzzConnack(f *testing.F)     { fuzzPackets(f, TypeConnack) }
func FuzzPublish(f *testing.F)     { fuzzPackets(f, TypePublish) }
func FuzzAck(f *testing.F)         { fuzzPackets(f, TypePuback, TypePubrec, TypePubrel, TypePubcomp) }
func FuzzSubscribe(f *testing.F)   { fuzzPackets(f, TypeSubscribe) }
func FuzzSuback(f *testing.F)      { fuzzPackets(f, TypeSuback) }
func FuzzUnsubscribe(f *testing.F) { fuzzPackets(f, TypeUnsubscribe) }
func FuzzUnsuback(f *testing.F)    { fuzzPackets(f, TypeUnsuback) }
func FuzzPing(f *testing.F)        { fuzzPackets(f, TypePingreq, TypePingresp) }
func FuzzDisconnect(f *testing.F)  { fuzzPackets(f, TypeDisconnect) }
func FuzzAuth(f *testing.F)        { fuzzPackets(f, TypeAuth) }

// FuzzPublishHead: the front of a PUBLISH gives what the whole of it does, whatever the payload.
func FuzzPublishHead(f *testing.F) {
	kept := oncePer{}
	for _, tt := range goldenPackets {
		if raw := unhex(f, tt.hex); Type(raw[0]>>4) == TypePublish {
			kept.keep(f, tt.v, raw, uint8(tt.v), raw)
			f.Add(uint8(tt.v), raw[:len(raw)-1])
		}
	}
	for _, tt := range faultyMessages {
		f.Add(uint8(tt.v), unhex(f, tt.hex))
	}
	keep(f, "cut", uint8(V5), unhex(f, "32 0f 0001'+' 0007 08 23 00"))
	f.Fuzz(func(t *testing.T, level uint8, buf []byte) {
		v := []Version{V31, V311, V5}[level%3]
		h, ok, err := ParsePublishHead(buf, v, 0)
		if err != nil {
			wantError(t, err)
		}
		p, whole, cutErr := Cut(buf, v, 0)
		switch {
		case len(buf) == 0 || Type(buf[0]>>4) != TypePublish:
			if ok || len(buf) > 0 && err == nil {
				t.Fatalf("ParsePublishHead(% x) = %+v, %v, %v; it is no PUBLISH", buf, h, ok, err)
			}
		case cutErr != nil:
			if !reflect.DeepEqual(err, cutErr) {
				t.Fatalf("ParsePublishHead(% x) = %v; Cut says %v", buf, err, cutErr)
			}
		case whole:
			if !ok && err == nil {
				t.Fatalf("ParsePublishHead waits for more than all of % x", buf)
			}
			sameHead(t, h, err, p.Raw, v)
		case h.PacketBytes > 0 && h.PacketBytes < 1<<17:
			sameHead(t, h, err, append(buf[:len(buf):len(buf)], make([]byte, h.PacketBytes-len(buf))...), v)
		}
	})
}

// FuzzStream: a stream in pieces gives the packets, and the error, of the stream at once.
func FuzzStream(f *testing.F) {
	for _, tt := range goldenPackets {
		raw := unhex(f, tt.hex)
		f.Add(uint8(tt.v), uint8(len(raw)/2), append(raw, raw...))
	}
	for _, v := range []Version{V31, V311, V5} {
		keep(f, "two_publishes_"+v.String(), uint8(v), uint8(20), append(smallPublish(v), smallPublish(v)...))
	}
	keep(f, "too_large", uint8(0), uint8(1), []byte("\x30\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, level, piece uint8, stream []byte) {
		const maxPacketBytes = 300
		v := []Version{V31, V311, V5}[level%3]
		var whole [][]byte
		rest := stream
		var wantErr error
		for {
			p, ok, err := Cut(rest, v, maxPacketBytes)
			if !ok {
				wantErr = err
				break
			}
			whole, rest = append(whole, p.Raw), rest[len(p.Raw):]
		}
		var b Buffer
		var err error
		got := 0
		for in := stream; len(in) > 0 && err == nil; {
			n := feed(&b, in[:min(len(in), 1+int(piece))], 1)
			in = in[n:]
			for ok := true; ok; {
				var p Packet
				if p, ok, err = b.Next(v, maxPacketBytes); ok {
					if got == len(whole) || !bytes.Equal(p.Raw, whole[got]) {
						t.Fatalf("packet %d in pieces of %d = % x", got, 1+int(piece), p.Raw)
					}
					got++
				}
			}
		}
		if got != len(whole) || !reflect.DeepEqual(err, wantErr) {
			t.Fatalf("in pieces %d packets, %v; at once %d, %v", got, err, len(whole), wantErr)
		}
		if wantErr == nil && !bytes.Equal(b.Peek(), rest) {
			t.Fatalf("in pieces % x is left; at once % x", b.Peek(), rest)
		}
	})
}

// FuzzTopics: the checks agree with a reading of section 4.7 by levels, Match with the
// oracle, and the algebra with Match.
func FuzzTopics(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "/", "#", "+", "a/#", "+/#", "/#", "$SYS/a", "$share/g/a/+", "$share//a", "ä/\ufeff", "a\x00", "\xed\xa0\x80"} {
		f.Add(s, "a/+", "a/b")
		f.Add("+/#", s, "$x/y")
		f.Add("a/#", "+/b", s)
	}
	keep(f, "plus_and_hash", "chat/+/#", "chat/room/#", "chat/room/lobby")
	keep(f, "shared", "$share/g/a/+", "+/b", "a/b")
	keep(f, "dollar", "$SYS/#", "#", "$SYS/load")
	keep(f, "parent_level", "a/#", "+", "a")
	keep(f, "ill_formed", "a\x00", "\xed\xa0\x80", "a/\xff")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		for _, filter := range []string{a, b} {
			if got, want := CheckTopicFilter(filter) == nil, legalFilter(filter); got != want {
				t.Fatalf("CheckTopicFilter(%q) accepts: %v; want %v", filter, got, want)
			}
		}
		wantName := legalString(name) && name != "" && !strings.ContainsAny(name, "+#")
		if got := CheckTopicName(name) == nil; got != wantName {
			t.Fatalf("CheckTopicName(%q) accepts: %v; want %v", name, got, wantName)
		}
		_, a, _ = SplitShare(a)
		_, b, _ = SplitShare(b)
		if !legalFilter(a) || !legalFilter(b) || !wantName {
			Match(a, name) // no panic
			Covers(a, b)
			Intersect(a, b)
			return
		}
		levels := strings.Split(name, "/")
		inA, inB := Match(a, name), Match(b, name)
		if inA != oracleMatch(strings.Split(a, "/"), levels) {
			t.Fatalf("Match(%q, %q) = %v", a, name, inA)
		}
		if Covers(a, b) && inB && !inA {
			t.Fatalf("Covers(%q, %q), but %q escapes", a, b, name)
		}
		both := Intersect(a, b)
		if Overlaps(a, b) != (len(both) == 1) && len(a)+len(b) <= MaxStringBytes {
			t.Fatalf("Overlaps(%q, %q) = %v, Intersect = %q", a, b, Overlaps(a, b), both)
		}
		if in := len(both) == 1 && Match(both[0], name); in != (inA && inB) && len(a)+len(b) <= MaxStringBytes {
			t.Fatalf("Intersect(%q, %q) = %q; %q is in both: %v", a, b, both, name, inA && inB)
		}
		if len(both) == 1 && (!legalFilter(both[0]) || !Covers(a, both[0]) || !Covers(b, both[0])) {
			t.Fatalf("Intersect(%q, %q) = %q, which is not within both", a, b, both)
		}
	})
}

// legalString is section 1.5.4 by runes.
func legalString(s string) bool {
	for i, r := range s {
		if r == 0 || r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") {
			return false
		}
	}
	return len(s) <= MaxStringBytes
}

// legalFilter is section 4.7.1 and 4.8.2 by levels.
func legalFilter(filter string) bool {
	if !legalString(filter) {
		return false
	}
	levels := strings.Split(filter, "/")
	if len(levels) > 1 && levels[0] == "$share" {
		if len(levels) < 3 || levels[1] == "" || strings.ContainsAny(levels[1], "+#") {
			return false
		}
		if levels = levels[2:]; len(levels) > 1 && levels[0] == "$share" {
			return false
		}
	}
	for i, level := range levels {
		if strings.Contains(level, "+") && level != "+" || strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) {
			return false
		}
	}
	return len(levels) > 1 || levels[0] != ""
}
