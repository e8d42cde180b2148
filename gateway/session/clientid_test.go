package session

import (
	"testing"

	"golang.org/x/text/unicode/norm"

	"topicgate/gateway/dialect"
)

func TestTwoUsersNeverShareAnUpstreamClientIdentifier(t *testing.T) {
	// Every name and id of up to three characters of an alphabet that holds all that could confuse.
	for _, text := range []string{"{username}:{client_id}", "{client_id}:{username}", "x{username}.3{client_id}y", "%{username}3.{client_id}", "{username}%3A:{client_id}", "a:{client_id}::{username}:", "{client_id}=3-{username}3A"} {
		template, err := parseClientIDTemplate(text, dialect.MQTT)
		if err != nil {
			t.Errorf("parseClientIDTemplate(%q) = %v", text, err)
			continue
		}
		words := []string{""}
		for begin, length := 0, 0; length < 3; length++ {
			end := len(words)
			for _, w := range words[begin:end] {
				for _, c := range []string{":", "%", "3", "A", "-", "ﬁ", "\u0338"} {
					words = append(words, w+c)
				}
			}
			begin = end
		}
		seen, exact := map[string][2]string{}, map[string]bool{}
		for _, user := range words[1:] { // a username is never empty
			for _, id := range words {
				if plain := template.expand(user, id); exact[plain] {
					t.Fatalf("%s: %q stands for two", text, plain)
				} else {
					exact[plain] = true
				}
				up := norm.NFKC.String(template.expand(user, id)) // as a broker may do it
				if other, taken := seen[up]; taken && other[0] != user {
					t.Fatalf("%s: %q is %q and %q", text, up, other, [2]string{user, id})
				}
				seen[up] = [2]string{user, id}
			}
		}
	}
}

func TestClientIDTemplatesThatCannotSeparateAreRefused(t *testing.T) {
	for _, text := range []string{"", "{username}", "{client_id}", "{username}{client_id}", "{username}%3A{client_id}", "{username}:{client_id}:{client_id}",
		"{username}-{client_id}", "{username}_{client_id}", "{client_id}-x-{username}",
		"{username}→{client_id}", "{username}\n{client_id}"} {
		if _, err := parseClientIDTemplate(text, dialect.MQTT); err == nil {
			t.Errorf("parseClientIDTemplate(%q) = nil; want an error", text)
		}
	}
	template, _ := parseClientIDTemplate("{username}:{client_id}", dialect.MQTT)
	for user, want := range map[string]string{
		"a:b%": "a%3Ab%25:c:d%", "alice": "alice:c:d%", "Zo-e_9": "Zo-e_9:c:d%", "zoë@example.com": "zo%C3%AB%40example%2Ecom:c:d%",
		"auth0|1 2": "auth0%7C1%202:c:d%", "ﬁ": "%EF%AC%81:c:d%",
	} {
		if got := template.expand(user, "c:d%"); got != want {
			t.Errorf("expand(%q) = %q; want %q", user, got, want)
		}
	}
}

func TestUpstreamUsernamesAreTheNameOrEncoded(t *testing.T) {
	for _, c := range []struct{ template, user, want string }{
		{"{username}", "zoë@example.com", "zoë@example.com"},
		{"gateway", "zoë", "gateway"},
		{"", "zoë", ""},
		{"tg.{username}", "zoë.b", "tg.zo%C3%AB%2Eb"},
		{"{username}.{username}", "a.b", "a%2Eb.a%2Eb"},
		{"tg-{username}", "{username}", "tg-%7Busername%7D"},
	} {
		if got := upstreamUsername(c.template, c.user, dialect.MQTT); got != c.want {
			t.Errorf("upstreamUsername(%q, %q) = %q; want %q", c.template, c.user, got, c.want)
		}
	}
}
