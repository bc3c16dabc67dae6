package endpoint

import "fmt"

// State is how an endpoint stands, for people and for the timeline.
type State struct {
	Name string
	Kind Kind
	// Want is where it is to lead; zero while nobody asks anything of it here.
	Want Target
	// Got is where it was last seen to lead, and Looked that it was seen at all
	// since Want became what it is.
	Got    Target
	Looked bool
	// Settled says that it was seen to lead where it should, since the last change
	// of Want or the last time that it was found astray.
	Settled bool
	// Told says that it has accepted Want, and that it cannot be asked (ErrUnseen).
	Told bool
	// Problem is why it does not lead there, or why that is not known; nil if it does.
	Problem error
	// Attempts are the calls of Set since it was last settled.
	Attempts int
	// Tells is what the endpoint itself said at the last look (Teller).
	Tells string
	// Repaired counts how often it was found astray after it had been settled.
	Repaired int
}

// String is for people: where it leads, where it should, and why it does not.
func (s State) String() string {
	switch {
	case s.Want.Node == "" && s.Problem != nil:
		return because(s.Name+" is not ready to lead here", s.Problem)
	case s.Want.Node == "":
		return s.Name + " is left as it is"
	case s.Settled && s.Problem == nil:
		return fmt.Sprintf("%s leads to %s", s.Name, s.Want)
	case s.Told:
		return fmt.Sprintf("%s was told %s, and cannot be asked", s.Name, s.Want)
	case !s.Looked:
		return because(fmt.Sprintf("%s: wanted %s, where it leads is not known", s.Name, s.Want), s.Problem)
	case s.Got.LeadsTo(s.Want):
		return because(fmt.Sprintf("%s leads to %s, as far as is known", s.Name, s.Want), s.Problem)
	}
	return (&MismatchError{Endpoint: s.Name, Got: s.Got, Want: s.Want, Because: s.Problem}).Error()
}

func because(text string, why error) string {
	if why == nil {
		return text
	}
	return text + ", because " + why.Error()
}
