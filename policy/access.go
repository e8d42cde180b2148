package policy

// Set holds the values of one {set}.
type Set map[string]struct{}

// Principal is one verified party.
type Principal struct {
	Username string
	ClientID string // as the client sent it
	Roles    []string
	Claims   map[string]any
	Issuer   string
	TokenID  string
}

// Decision is the answer to one question.
type Decision struct {
	Allowed bool
	Rule    *Rule  // that decided; nil when no rule matched
	Reason  string // "" or why no rule was asked, e.g. "policy_unavailable"
}

// Access answers for one principal.
type Access struct{ reason string }

type level struct{}

// Ruleset is one parsed text.
type Ruleset struct{}

func Parse(source, text string) (*Ruleset, error)                        { return &Ruleset{}, nil }
func ParseLines(source string, lines []string) (*Ruleset, Problems)      { return &Ruleset{}, nil }
func (r *Ruleset) Warnings() Problems                                    { return nil }
func (r *Ruleset) SetNames() []string                                    { return nil }
func NewSet(members []string) (set Set, skipped []string)                { return nil, nil }
func NewAccess(p Principal, sets map[string]Set, rs ...*Ruleset) *Access { return &Access{} }
func NothingAllowed() *Access                                            { return &Access{} }
func (a *Access) Publish(topicName []byte) Decision                      { return Decision{} }
func (a *Access) Receive(topicName []byte) Decision                      { return Decision{} }
func (a *Access) Subscribe(topicFilter string) Decision                  { return Decision{} }
func (a *Access) Narrow(topicFilter string, max int) (filters []string, complete bool) {
	return nil, true
}

// Explanation tells how a decision came about.
type Explanation struct{ Decision Decision }

func (a *Access) Explain(op string, topic string) Explanation { return Explanation{} }
