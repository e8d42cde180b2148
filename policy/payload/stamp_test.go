package payload

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestStamp(t *testing.T) {
	for _, tt := range []struct{ name, payload, want string }{
		{"there", `{"from":"bob","text":"hi"}`, `{"from":"alice","text":"hi"}`},
		{"missing", `{"text":"hi"}`, `{"from":"alice","text":"hi"}`},
		{"empty", ` { } `, ` {"from":"alice" } `},
		{"blanks stay", "{\n  \"text\" : 1 ,\t\"from\" : [ 1, {} ]\n}\n", "{\n  \"text\" : 1 ,\t\"from\" : \"alice\"\n}\n"},
		{"twice", `{"from":"bob","a":1,"from":"eve"}`, `{"from":"alice","a":1}`},
		{"with escapes", `{"a":1 , "fr\u006fm":"bob" , "from":"eve"}`, `{"a":1 , "from":"alice" }`},
		{"escapes of a surrogate pair stay", `{"\ud83d\ude00":"\u0000"}`, `{"from":"alice","\ud83d\ude00":"\u0000"}`},
		{"below the top it is another member", `{"a":{"from":"bob"}}`, `{"from":"alice","a":{"from":"bob"}}`},
		{"another name", `{"From":"bob"}`, `{"from":"alice","From":"bob"}`},
		{"members of another name may be twice", `{"a":1,"a":2}`, `{"from":"alice","a":1,"a":2}`},
		{"numbers as they are", `{"n":1e400,"m":1.0}`, `{"from":"alice","n":1e400,"m":1.0}`},
		{"no object", `[1]`, ""},
		{"a string", `"from"`, ""},
		{"nothing", ``, ""},
		{"no JSON", `{"from":bob}`, ""},
		{"cut off", `{"from":"bob"`, ""},
		{"more behind", `{"from":"bob"} {"from":"eve"}`, ""},
		{"byte order mark", "\ufeff{}", ""},
		{"not UTF-8", "{\"a\":\"\xff\"}", ""},
		{"half a surrogate pair", `{"\ud800":1}`, ""},
		{"too deep", `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, ""},
		{"not too deep", `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`,
			`{"from":"alice","a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Stamp([]byte("dst"), []byte(tt.payload), "from", "alice")
			if tt.want == "" {
				if err == nil {
					t.Errorf("Stamp(%q) = %q; want an error", tt.payload, got)
				}
				return
			}
			if err != nil || string(got) != "dst"+tt.want {
				t.Errorf("Stamp(%q) = %q, %v; want %q", tt.payload, got, err, "dst"+tt.want)
			}
		})
	}
}

func TestStampQuotes(t *testing.T) {
	got, err := Stamp(nil, []byte(`{}`), `f"\`, "al\"i\\ce\u2028\u00e9")
	if want := `{"f\"\\":"al\"i\\ce` + "\u2028é" + `"}`; err != nil || string(got) != want {
		t.Errorf("Stamp = %s, %v; want %s", got, err, want)
	}
}

type pair struct{ name, raw string }

// membersOf lists those of an object.
func membersOf(t *testing.T, object []byte) (all []pair) {
	t.Helper()
	d := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		t.Fatalf("%q: %v", object, err)
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		p := pair{name: name.String()}
		raw, err := d.ReadValue()
		if err != nil {
			t.Fatalf("%q: %v", object, err)
		}
		p.raw = string(raw)
		all = append(all, p)
	}
	return all
}

// FuzzStamp wants a JSON object in which the one member is set and all others stand as they did.
func FuzzStamp(f *testing.F) {
	for _, payload := range []string{`{"from":"bob","a":[1,"from"],"fr\u006fm":{}}`, `{ }`, `{"a":1}`, `[]`, `{"from":1,"from":2 , "b":3}`, `{"from":1}x`} {
		f.Add([]byte(payload), "from", "alice")
	}
	f.Add([]byte(`{"a\"":1}`), `a"`, `b"`)
	f.Fuzz(func(t *testing.T, payload []byte, name, username string) {
		got, err := Stamp(nil, payload, name, username)
		if err != nil {
			return
		}
		if !jsontext.Value(got).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatalf("Stamp(%q) = %q: no JSON", payload, got)
		}
		var others []pair
		stamped := 0
		for _, m := range membersOf(t, got) {
			if m.name != name {
				others = append(others, m)
				continue
			}
			stamped++
			if text, err := jsontext.AppendUnquote(nil, []byte(m.raw)); err != nil || string(text) != username {
				t.Errorf("Stamp(%q) sets %s; want %q", payload, m.raw, username)
			}
		}
		var before []pair
		for _, m := range membersOf(t, payload) {
			if m.name != name {
				before = append(before, m)
			}
		}
		if stamped != 1 || len(before) != len(others) {
			t.Fatalf("Stamp(%q) = %q: %d times, %d others of %d", payload, got, stamped, len(others), len(before))
		}
		for i := range before {
			if before[i] != others[i] {
				t.Errorf("Stamp(%q) = %q changes %v", payload, got, before[i])
			}
		}
		if again, err := Stamp(nil, got, name, username); err != nil || !bytes.Equal(again, got) {
			t.Errorf("Stamp(%q) = %q, %v; want no change", got, again, err)
		}
	})
}

func BenchmarkStamp(b *testing.B) {
	payload := []byte(`{"id":"5f2c","text":"` + strings.Repeat("hello ", 40) + `","from":"somebody else","at":1764140000}`)
	dst := make([]byte, 0, 1024)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Stamp(dst, payload, "from", "alice"); err != nil {
			b.Fatal(err)
		}
	}
}
