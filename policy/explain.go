package policy

// Explanation tells how a decision came about.
type Explanation struct{ Decision Decision }

func (a *Access) Explain(op string, topic string) Explanation { return Explanation{} }
func (a *Access) Narrow(topicFilter string, max int) (filters []string, complete bool) {
	return nil, true
}
