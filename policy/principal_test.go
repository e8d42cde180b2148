package policy

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestClaimValues(t *testing.T) {
	var claims map[string]any
	err := json.Unmarshal([]byte(`{
		"text": "acme", "number": 42, "negative": -7, "big": 9007199254740993, "fraction": 1.5, "exponent": 1e3,
		"yes": true, "null": null, "empty": "", "slash": "a/b", "object": {"x": {"y": "deep"}}, "a.b": "flat",
		"list": ["a", "b", "a", "c/d", "", 5, ["e"]], "none": []
	}`), &claims)
	if err != nil {
		t.Fatal(err)
	}
	claims["exact"] = json.Number("9007199254740993")
	claims["exactFraction"] = json.Number("1.0")
	claims["strings"] = []string{"s"}
	claims["int"] = 3
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"text", []string{"acme"}},
		{"number", []string{"42"}},
		{"negative", []string{"-7"}},
		{"exponent", []string{"1000"}},
		{"big", nil}, // a float64 merges it with its neighbours
		{"exact", []string{"9007199254740993"}},
		{"exactFraction", nil},
		{"int", []string{"3"}},
		{"fraction", nil},
		{"yes", []string{"true"}},
		{"null", nil},
		{"empty", nil},
		{"slash", nil},
		{"object", nil},
		{"object.x", nil},
		{"object.x.y", []string{"deep"}},
		{"object.x.y.z", nil},
		{"text.x", nil},
		{"a.b", nil},
		{"list", []string{"a", "b"}},
		{"strings", []string{"s"}},
		{"none", nil},
		{"missing", nil},
	} {
		a := NewAccess(Principal{Claims: claims}, nil, mustParse(t, "pattern read x/{claim."+tt.path+"}"))
		got, _ := a.Narrow("#", 10)
		want := make([]string, 0, len(tt.want))
		for _, v := range tt.want {
			want = append(want, "x/"+v)
		}
		if !slices.Equal(got, want) {
			t.Errorf("{claim.%s} expands to %q; want %q", tt.path, got, want)
		}
		for _, v := range tt.want {
			if !a.Receive([]byte("x/" + v)).Allowed {
				t.Errorf("{claim.%s}: Receive(x/%s) is denied", tt.path, v)
			}
		}
	}
}
