package session

import "testing"

func TestTwoUsersNeverShareAnUpstreamClientIdentifier(t *testing.T) {
	// Every name and id of up to three characters of an alphabet that holds all that could confuse.
	for _, text := range []string{"{username}:{client_id}", "{client_id}:{username}", "x{username}-3{client_id}y", "%{username}3-{client_id}", "{username}%3A:{client_id}", "a:{client_id}::{username}:"} {
		template, err := parseClientIDTemplate(text)
		if err != nil {
			t.Errorf("parseClientIDTemplate(%q) = %v", text, err)
			continue
		}
		words := []string{""}
		for begin, length := 0, 0; length < 3; length++ {
			end := len(words)
			for _, w := range words[begin:end] {
				for _, c := range []string{":", "%", "3", "A", "-"} {
					words = append(words, w+c)
				}
			}
			begin = end
		}
		seen := map[string][2]string{}
		for _, user := range words[1:] { // a username is never empty
			for _, id := range words {
				up := template.expand(user, id)
				if other, taken := seen[up]; taken {
					t.Fatalf("%s: %q is %q and %q", text, up, other, [2]string{user, id})
				}
				seen[up] = [2]string{user, id}
			}
		}
	}
}

func TestClientIDTemplatesThatCannotSeparateAreRefused(t *testing.T) {
	for _, text := range []string{"", "{username}", "{client_id}", "{username}{client_id}", "{username}%3A{client_id}", "{username}:{client_id}:{client_id}",
		"{username}→{client_id}", "{username}\n{client_id}"} {
		if _, err := parseClientIDTemplate(text); err == nil {
			t.Errorf("parseClientIDTemplate(%q) = nil; want an error", text)
		}
	}
	template, _ := parseClientIDTemplate("{username}:{client_id}")
	if got := template.expand("a:b%", "c:d%"); got != "a%3Ab%25:c:d%" {
		t.Errorf("expand = %q; want \"a%%3Ab%%25:c:d%%\"", got)
	}
}
