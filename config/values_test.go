package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1500": 1500, "10B": 10, "16KiB": 16 << 10, "2MiB": 2 << 20, "1GiB": 1 << 30,
		"1kB": 1000, "1MB": 1_000_000, "3gb": 3_000_000_000, "5 mib": 5 << 20,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("UnmarshalText(%q) = %d, %v; want %d", text, got, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%d prints as %q, which is %d, %v", got, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "2M", "2Mi", "1TiB", "0x10", "9223372036854775807KiB", "99999999999999999999", "1 2", "ȺȺȺ", "1ȺMiB", "1\u212AiB"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q) = %d; want an error", text, got)
		}
	}
}

func TestASecretShowsItselfToNobody(t *testing.T) {
	c := Config{UpstreamPassword: NewSecret("hunter2")}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
		fmt.Fprintf(&out, verb, c)
		fmt.Fprintf(&out, verb, &c.UpstreamPassword)
		fmt.Fprintf(&out, verb, c.UpstreamPassword)
	}
	fmt.Fprintln(&out, c.UpstreamPassword.String(), c.UpstreamPassword.GoString())
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("start", "config", c, "password", c.UpstreamPassword, "pointer", &c.UpstreamPassword)
	}
	if err := json.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed %q: %s", form, out.String())
		}
	}
	if c.UpstreamPassword.Reveal() != "hunter2" {
		t.Error("Reveal does not give the text")
	}
}
