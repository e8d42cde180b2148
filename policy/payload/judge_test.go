package payload

import (
	"testing"

	"topicgate/policy"
)

func rulesOf(t *testing.T, text string) []*policy.Rule {
	t.Helper()
	rs, err := policy.Parse("f", "pattern write #\n"+text)
	if err != nil {
		t.Fatal(err)
	}
	rules, _ := policy.NewAccess(policy.Principal{Username: "alice"}, nil, rs).Directives([]byte("x"))
	return rules
}

func TestLimits(t *testing.T) {
	rules := rulesOf(t, "limit x max_size=10 max_qos=1\nlimit # retain=no max_qos=0\nstamp x json=from")
	for _, tt := range []struct {
		bytes  int
		qos    uint8
		retain bool
		reason string
		line   string
	}{
		{10, 0, false, "", ""},
		{11, 0, false, ReasonSize, "limit x max_size=10 max_qos=1"},
		{1, 2, false, ReasonQoS, "limit x max_size=10 max_qos=1"},
		{1, 1, false, ReasonQoS, "limit # retain=no max_qos=0"},
		{1, 0, true, ReasonRetain, "limit # retain=no max_qos=0"},
	} {
		r := Limits(rules, tt.bytes, tt.qos, tt.retain)
		if r == nil && tt.reason != "" || r != nil && (r.Reason != tt.reason || r.Rule.Text != tt.line || r.Detail == "") {
			t.Errorf("Limits(%d, %d, %v) = %+v; want %s, %s", tt.bytes, tt.qos, tt.retain, r, tt.reason, tt.line)
		}
	}
}

func TestEveryCheckCounts(t *testing.T) {
	schema, err := NewSchema(`{"required":["text"]}`)
	if err != nil {
		t.Fatal(err)
	}
	checks := &Checks{Schemas: map[string]*Schema{"s": schema, "none": nil}, Words: map[string]*Words{"w": newWords(t, "darn")}}
	for _, tt := range []struct{ rules, payload, reason, pointer string }{
		{"check x schema=s words=w", `{"text":"hi"}`, "", ""},
		{"check x schema=s words=w", `{"txt":"hi"}`, ReasonSchema, ""},
		{"check x schema=s\ncheck x words=w", `{"text":"darn"}`, ReasonWords, "/text"},
		{"check x words=w", `darn`, ReasonWords, ""},
		{"check x schema=none", `{}`, ReasonUnavailable, ""},
		{"check x schema=other", `{}`, ReasonUnavailable, ""},
		{"check x words=other", `{}`, ReasonUnavailable, ""},
		{"limit x max_size=1", `{}`, "", ""},
	} {
		r := Check(rulesOf(t, tt.rules), []byte(tt.payload), checks)
		if r == nil && tt.reason != "" || r != nil && (r.Reason != tt.reason || r.Pointer != tt.pointer || r.Rule == nil || r.Detail == "") {
			t.Errorf("Check(%q, %q) = %+v; want %s at %q", tt.rules, tt.payload, r, tt.reason, tt.pointer)
		}
	}
	if r := Check(rulesOf(t, "check x words=w"), []byte("x"), nil); r == nil || r.Reason != ReasonUnavailable {
		t.Errorf("without checks: %+v; want %s", r, ReasonUnavailable)
	}
}

func TestStamps(t *testing.T) {
	got, stamped, r := Stamps(rulesOf(t, "stamp x json=from\nstamp x json=by"), make([]byte, 0, 100), []byte(`{"by":1}`), "alice")
	if want := `{"from":"alice","by":"alice"}`; r != nil || !stamped || string(got) != want {
		t.Errorf("Stamps = %s, %+v; want %s", got, r, want)
	}
	if _, _, r := Stamps(rulesOf(t, "stamp x json=from"), nil, []byte("hi"), "alice"); r == nil || r.Reason != ReasonStamp || r.Rule.Text != "stamp x json=from" {
		t.Errorf("Stamps of no object: %+v", r)
	}
	if got, stamped, r := Stamps(rulesOf(t, "limit x max_qos=0"), nil, []byte("hi"), "alice"); r != nil || stamped || string(got) != "hi" {
		t.Errorf("Stamps without any = %q, %+v", got, r)
	}
}
