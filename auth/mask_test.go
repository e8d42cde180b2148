package auth

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestTokensAreFoundWhereverTheyStand(t *testing.T) {
	token := newKey("a").token()
	indented := base64.RawURLEncoding.EncodeToString([]byte("{\r\n  \"typ\": \"JWT\",\n \"alg\": \"RS256\"}")) + token[strings.IndexByte(token, '.'):]
	encrypted := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`)) + ".a.b.c.d"
	for text, want := range map[string]string{
		token:                        "[token]",
		indented:                     "[token]",
		encrypted:                    "[token]",
		"web-" + token:               "web-[token]",
		"eyJ-ewog" + token:           "eyJ-ewog[token]",
		"a.b." + token + "/x":        "a.b.[token]/x",
		"Bearer " + token + " ":      "Bearer [token] ",
		"a/" + token + "/b/" + token: "a/[token]/b/[token]",
		"?access_token=" + token:     "?access_token=[token]",
		"\xff" + token + "\xff":      "\xff[token]\xff",
		token + ".":                  "[token].",
		"eyJhbGciOiJub25lIn0.e30.eA": "[token]",
	} {
		if got := Mask(text); got != want || !HoldsToken(text) {
			t.Errorf("Mask(%q) = %q, HoldsToken %v; want %q, true", text, got, HoldsToken(text), want)
		}
	}
}

func TestWhatIsNoTokenStays(t *testing.T) {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT"}`))
	for _, text := range []string{
		"", ".", "..", "...", "a.b.c", "chat/room/lobby", "com.example.app", "eye.eyebrow.eyelid", "192.168.0.1",
		"eyJhbGciOiJub25lIn0", "eyJhbGciOiJub25lIn0.", "eyJhbGciOiJub25lIn0.e30", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJub25lIn0..eA",
		"eyJhbGciOiJub25lIn0 .e30.eA", header + ".e30.eA", strings.Repeat("a.", 1000), strings.Repeat("ey.", 1000), "\xff.\xff.\xff",
	} {
		if got := Mask(text); got != text || HoldsToken(text) {
			t.Errorf("Mask(%q) = %q, HoldsToken %v; want no change, false", text, got, HoldsToken(text))
		}
		if allocated := testing.AllocsPerRun(10, func() { Mask(text); HoldsToken(text) }); allocated > 0 && !strings.Contains(text, header) {
			t.Errorf("looking for a token in %.40q allocates %v times", text, allocated)
		}
	}
}

// A text of 64 KiB that seems to begin a header all the time is looked at about as often as one that does not.
func TestNoTextTakesLong(t *testing.T) {
	for _, piece := range []string{"eyJh", "eyJhIjoi", "ewogICAg", "e", "ey", "a.", "eyJh.", "eyJh.eyJh."} {
		text := strings.Repeat(piece, 64<<10/len(piece)) + ".a.b"
		// Each allocation is one look at a text of up to the whole length.
		if allocated := testing.AllocsPerRun(1, func() { HoldsToken(text) }); allocated > 100 {
			t.Errorf("looking for a token in many %q allocates %v times", piece, allocated)
		}
	}
}

func TestUsernamesHoldNoToken(t *testing.T) {
	if problem := nameProblem("alice " + newKey("a").token()); !strings.Contains(problem, "token") {
		t.Errorf("nameProblem(a name with a token in it) = %q", problem)
	}
}

// FuzzMask: a token is taken out whatever stands around it, and nothing else is.
func FuzzMask(f *testing.F) {
	token := newKey("a").token()
	for _, around := range [][2]string{{"", ""}, {"web-", "/x"}, {"a.", ".b"}, {"eyJhIjoi", "="}, {"eyJhbGciOiJub25lIn0.", ""}, {"\xff", "\x00"}} {
		f.Add(around[0], around[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + token + after
		masked := Mask(text)
		if !HoldsToken(text) || leaks(token, masked) != "" && leaks(token, before+after) == "" {
			t.Errorf("Mask(%q) = %q", text, masked)
		}
		if HoldsToken(masked) {
			t.Errorf("Mask(%q) = %q, which holds a token still", text, masked)
		}
		if around := before + "/" + after; !HoldsToken(around) && Mask(around) != around {
			t.Errorf("Mask(%q) = %q; want no change", around, Mask(around))
		}
	})
}
