package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestUsername(t *testing.T) {
	const namespaced = "https://example.org/name"
	for _, c := range []struct{ what, path, payload, want, reason string }{
		{"plain", "sub", `{"sub":"alice"}`, "alice", "ok"},
		{"by path", "a.b.c", `{"a":{"b":{"c":"alice"}}}`, "alice", "ok"},
		{"exact name first", "a.b", `{"a.b":"alice","a":{"b":"bob"}}`, "alice", "ok"},
		{"name with dots", namespaced, `{"https://example.org/name":"alice"}`, "alice", "ok"},
		{"inside a name with dots", namespaced + ".login", `{"https://example.org/name":{"login":"alice"}}`, "alice", "ok"},
		{"name with dots inside", "a.b.c", `{"a":{"b.c":"alice"}}`, "alice", "ok"},
		{"longer name that leads nowhere", "a.b.c", `{"a.b":{"x":1},"a":{"b":{"c":"alice"}}}`, "alice", "ok"},
		{"spaces, signs, scripts", "sub", `{"sub":"Zoë O'Neil %:$ 李 שרה"}`, "Zoë O'Neil %:$ 李 שרה", "ok"},
		{"longest", "sub", `{"sub":"` + strings.Repeat("a", 1024) + `"}`, strings.Repeat("a", 1024), "ok"},
		{"missing", "name", `{"sub":"alice"}`, "", ReasonNoUsername},
		{"missing inside", "a.b", `{"a":{"c":"alice"}}`, "", ReasonNoUsername},
		{"path through a string", "a.b", `{"a":"alice"}`, "", ReasonNoUsername},
		{"case counts", "sub", `{"Sub":"alice"}`, "", ReasonNoUsername},
		{"whole number", "id", `{"id":1}`, "1", "ok"},
		{"number that no float holds", "id", `{"id":9007199254740993}`, "9007199254740993", "ok"},
		{"number below zero", "id", `{"id":-12}`, "-12", "ok"},
		{"zero below zero", "id", `{"id":-0}`, "", ReasonNoUsername},
		{"fraction", "id", `{"id":1.0}`, "", ReasonNoUsername},
		{"exponent", "id", `{"id":1e3}`, "", ReasonNoUsername},
		{"true", "id", `{"id":true}`, "", ReasonNoUsername},
		{"list", "sub", `{"sub":["alice"]}`, "", ReasonNoUsername},
		{"null", "sub", `{"sub":null}`, "", ReasonNoUsername},
		{"empty", "sub", `{"sub":""}`, "", ReasonBadUsername},
		{"plus", "sub", `{"sub":"+"}`, "", ReasonBadUsername},
		{"number sign", "sub", `{"sub":"a#"}`, "", ReasonBadUsername},
		{"slash", "sub", `{"sub":"a/b"}`, "", ReasonBadUsername},
		{"U+0000", "sub", `{"sub":"a\u0000"}`, "", ReasonBadUsername},
		{"line feed", "sub", `{"sub":"a\nb"}`, "", ReasonBadUsername},
		{"U+007F", "sub", `{"sub":"a\u007f"}`, "", ReasonBadUsername},
		{"U+0085", "sub", `{"sub":"a\u0085"}`, "", ReasonBadUsername},
		{"half a surrogate pair", "sub", `{"sub":"a\ud800"}`, "", ReasonBadUsername},
		{"too long", "sub", `{"sub":"` + strings.Repeat("a", 1025) + `"}`, "", ReasonBadUsername},
	} {
		claims, err := ParseClaimsSet([]byte(c.payload))
		if err != nil {
			t.Fatalf("%s: payload does not decode", c.what)
		}
		got, err := Users{Claim: c.path}.Username(claims, "")
		if got != c.want || reasonOf(t, err) != c.reason {
			t.Errorf("%s: Username(%s) = %q, %v; want %q, %s", c.what, c.path, got, err, c.want, c.reason)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		what, path, payload string
		want                []string
		reason              string
	}{
		{"list", "roles", `{"roles":["b","a"]}`, []string{"b", "a"}, "ok"},
		{"text", "scope", `{"scope":"openid  chat "}`, []string{"openid", "chat"}, "ok"},
		{"by path", "realm_access.roles", `{"realm_access":{"roles":["a"]}}`, []string{"a"}, "ok"},
		{"namespaced", "https://example.org/roles", `{"https://example.org/roles":["a"]}`, []string{"a"}, "ok"},
		{"twice and empty", "roles", `{"roles":["a","","a"]}`, []string{"a"}, "ok"},
		{"absent", "roles", `{}`, nil, "ok"},
		{"null", "roles", `{"roles":null}`, nil, "ok"},
		{"empty list", "roles", `{"roles":[]}`, nil, "ok"},
		{"empty text", "roles", `{"roles":""}`, nil, "ok"},
		{"number", "roles", `{"roles":1}`, nil, ReasonBadRoles},
		{"true", "roles", `{"roles":true}`, nil, ReasonBadRoles},
		{"comma list", "groups", `{"groups":"b, a,,b"}`, []string{"b", "a"}, "ok"},
		{"commas and spaces", "groups", `{"groups":"team a,team b"}`, nil, ReasonBadRoles},
		{"names with the organizations that grant them", "roles", `{"roles":{"user":{"1":"acme.example"},"admin":{"1":"acme.example","2":"b.example"}}}`, []string{"user", "admin"}, "ok"},
		{"empty object", "roles", `{"roles":{}}`, nil, "ok"},
		{"object", "roles", `{"roles":{"admin":true}}`, nil, ReasonBadRoles},
		{"object whose names hold lists", "resource_access", `{"resource_access":{"chat":{"roles":["banned"]}}}`, nil, ReasonBadRoles},
		{"object with a list", "realm_access", `{"realm_access":{"roles":["banned"]}}`, nil, ReasonBadRoles},
		{"name that nobody grants", "roles", `{"roles":{"admin":{}}}`, nil, ReasonBadRoles},
		{"name that null grants", "roles", `{"roles":{"admin":{"1":null}}}`, nil, ReasonBadRoles},
		{"one good and one bad name", "roles", `{"roles":{"user":{"1":"a"},"banned":["x"]}}`, nil, ReasonBadRoles},
		{"half a surrogate pair as a name", "roles", `{"roles":{"a\ud800":{"1":"a"}}}`, nil, ReasonBadRoles},
		{"number in the list", "roles", `{"roles":["a",1]}`, nil, ReasonBadRoles},
		{"null in the list", "roles", `{"roles":["a",null]}`, nil, ReasonBadRoles},
		{"half a surrogate pair", "roles", `{"roles":["a\ud800"]}`, nil, ReasonBadRoles},
		{"path through null", "realm_access.roles", `{"realm_access":null}`, nil, "ok"},
		{"path through a text", "realm_access.roles", `{"realm_access":"roles"}`, nil, ReasonBadRoles},
		{"path through a list", "realm_access.roles", `{"realm_access":[{"roles":["banned"]}]}`, nil, ReasonBadRoles},
		{"path through a list further in", "a.b.c", `{"a":{"b":["c"]}}`, nil, ReasonBadRoles},
		{"two paths, one leads there", "a.b.c", `{"a.b":1,"a":{"b":{"c":["x"]}}}`, []string{"x"}, "ok"},

		{"elsewhere", "groups", `{"_claim_names":{"groups":"src1"},"_claim_sources":{"src1":{"endpoint":"https://graph.example"}}}`, nil, ReasonRolesElsewhere},
		{"elsewhere and here", "groups", `{"groups":["a"],"_claim_names":{"groups":"src1"}}`, nil, ReasonRolesElsewhere},
		{"what holds them elsewhere", "a.b.c", `{"_claim_names":{"a.b":"src1"}}`, nil, ReasonRolesElsewhere},
		{"elsewhere in other words", "groups", `{"hasgroups":true}`, nil, ReasonRolesElsewhere},
		{"elsewhere in other words, as a text", "groups", `{"hasgroups":"true"}`, nil, ReasonRolesElsewhere},
		{"groups inside elsewhere", "groups.ids", `{"hasgroups":true}`, nil, ReasonRolesElsewhere},
		{"not elsewhere", "groups", `{"groups":["a"],"hasgroups":false}`, []string{"a"}, "ok"},
		{"another claim elsewhere", "roles", `{"roles":["a"],"hasgroups":true,"_claim_names":{"groups":"src1"}}`, []string{"a"}, "ok"},
		{"another level's groups", "a.groups", `{"a":{"groups":["a"]},"hasgroups":true}`, []string{"a"}, "ok"},
		{"names that are none", "groups", `{"_claim_names":["groups"]}`, nil, ReasonMalformed},
	} {
		claims, err := ParseClaimsSet([]byte(c.payload))
		if err != nil {
			t.Fatalf("%s: payload does not decode", c.what)
		}
		got, err := claims.Roles(c.path)
		if !reflect.DeepEqual(got, c.want) || reasonOf(t, err) != c.reason {
			t.Errorf("%s: Roles(%s) = %q, %v; want %q, %s", c.what, c.path, got, err, c.want, c.reason)
		}
	}
}

func TestRolesOfSeveralClaimsAreAddedUp(t *testing.T) {
	for _, c := range []struct {
		payload string
		want    []string
		reason  string
	}{
		{`{"groups":["a","b"],"scope":"b c","app":{"roles":{"d":{"1":"x"}}}}`, []string{"a", "b", "c", "d"}, "ok"},
		{`{"scope":"c"}`, []string{"c"}, "ok"},
		{`{"groups":["a"],"scope":7}`, nil, ReasonBadRoles},
		{`{"scope":"c","hasgroups":true}`, nil, ReasonRolesElsewhere},
		{`{"groups":["a"],"app":[]}`, nil, ReasonBadRoles},
	} {
		got, err := must(ParseClaimsSet([]byte(c.payload))).Roles("groups", "scope", "app.roles")
		if !reflect.DeepEqual(got, c.want) || reasonOf(t, err) != c.reason {
			t.Errorf("Roles() of %s = %q, %v; want %q, %s", c.payload, got, err, c.want, c.reason)
		}
	}
}

func TestConfiguredClaimsAreUsed(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key), func(o *Options) {
		o.Users.Claim, o.RolesClaims = "preferred_username", []string{"resource_access.chat.roles"}
	})
	id, err := b.Verify(t.Context(), key.token(claims{
		"sub": "0b5e/1", "preferred_username": "alice",
		"resource_access": claims{"chat": claims{"roles": []string{"moderator"}}},
	}))
	if err != nil || id.Username != "alice" || id.Subject != "0b5e/1" || !reflect.DeepEqual(id.Roles, []string{"moderator"}) {
		t.Errorf("Verify() = %+v, %v", id, err)
	}
}

func TestCertificateGivesItsIdentity(t *testing.T) {
	expiry := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	certificate := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "sensor-1", Organization: []string{"Example"}},
		Issuer:   pkix.Name{CommonName: "Example CA"},
		NotAfter: expiry,
	}
	got, err := FromCertificate(certificate, "")
	want := Identity{
		Issuer: "CN=Example CA", Subject: "CN=sensor-1,O=Example", Username: "sensor-1",
		Expiry: expiry, Certificate: true,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("FromCertificate() = %+v, %v; want %+v", got, err, want)
	}
}

func TestCertificateWithoutAGoodNameIsRefused(t *testing.T) {
	two := pkix.Name{CommonName: "b", Names: []pkix.AttributeTypeAndValue{
		{Type: oidCommonName, Value: "a"}, {Type: oidCommonName, Value: "b"},
	}}
	for _, c := range []struct {
		what        string
		certificate *x509.Certificate
		reason      string
	}{
		{"none", nil, ReasonBadCertificate},
		{"two common names", &x509.Certificate{Subject: two}, ReasonBadCertificate},
		{"no common name", &x509.Certificate{}, ReasonNoUsername},
		{"wildcard", &x509.Certificate{Subject: pkix.Name{CommonName: "#"}}, ReasonBadUsername},
		{"level", &x509.Certificate{Subject: pkix.Name{CommonName: "a/b"}}, ReasonBadUsername},
		{"invalid UTF-8", &x509.Certificate{Subject: pkix.Name{CommonName: "a\xff"}}, ReasonBadUsername},
	} {
		got, err := FromCertificate(c.certificate, "")
		if reasonOf(t, err) != c.reason || got.Username != "" {
			t.Errorf("FromCertificate(%s) = %+v, %v; want %s", c.what, got, err, c.reason)
		}
	}
}

func TestClaimsAreThoseOfTheJSON(t *testing.T) {
	for _, payload := range []string{
		`{}`, `null`,
		`{"n":123456789012345678901234567890,"f":-1.50,"e":1e999,"zero":-0}`,
		`{"plain":"a b/c","empty":"","quote":"\"","escaped":"\u00e9\ud83d\ude00","half":"\ud800","é":"é"}`,
		`{"t":true,"f":false,"null":null,"list":[1,"a",null,{"b":[2.0]}],"object":{"n":1,"deep":{"x":"\n"}},"empty":{}, "none" : [ ] }`,
		`{"once":"a","other":2,"a":{"x":1},"b":{"x":2}}`,
	} {
		decoder := json.NewDecoder(strings.NewReader(payload))
		decoder.UseNumber()
		want := map[string]any{}
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		set, err := ParseClaimsSet([]byte(payload))
		if err != nil {
			t.Errorf("ParseClaimsSet(%s) = %v", payload, err)
		}
		for _, m := range set.members {
			if _, ok := want[m.name]; !ok {
				t.Errorf("ParseClaimsSet(%s) has a claim %q", payload, m.name)
			}
		}
		for name, value := range want {
			var got any
			raw, _ := set.get(name)
			decoder := json.NewDecoder(strings.NewReader(raw))
			decoder.UseNumber()
			if err := decoder.Decode(&got); err != nil || !reflect.DeepEqual(got, value) {
				t.Errorf("claim %s of %s = %#v, %v; want %#v", name, payload, got, err, value)
			}
			text, ok := set.Text(name)
			if wanted, isText := value.(string); text != wanted || ok != (isText || value == nil) {
				t.Errorf("Text(%s) of %s = %q, %v; want %q", name, payload, text, ok, wanted)
			}
		}
	}
}
