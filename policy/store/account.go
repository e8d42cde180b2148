package store

import "topicgate/policy/fair"

// account is what the store owes one user: the keys that are to be read and the grants that are to be built. That
// of no user ("") has the keys that concern many: the rule text and the lines of roles.
type account struct {
	username string
	refs     int // entries and grants that name it; none: forgotten

	reads  fair.Line[*entry]
	builds fair.Line[*Grant]
	scans  fair.Line[*scan]
}
