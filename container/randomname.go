package container

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// Words for the names of containers that were given none, in the well-known
// form adjective_person.
const (
	adjectives = `able agile amber ancient autumn awake balmy bold brave breezy bright brisk calm candid
careful cheerful clever cool cosmic cosy crisp curious daring dazzling deft eager early earnest easy elated
electric elegant epic fair fancy fearless fleet fluent fond frank free fresh friendly gallant gentle gifted
glad golden graceful grand happy hardy hearty helpful honest hopeful humble icy jolly keen kind lively loving
loyal lucid lucky mellow merry mighty modest nautical neat nimble noble patient peaceful placid plucky polite
proud prudent quick quiet quirky rapid ready relaxed robust salty serene sharp silent silver sleek smart snug
sober solid spirited steady stoic sunny swift tender thrifty tidal tidy trusting upbeat valiant vigilant vivid
warm wise witty wonderful youthful zealous zen`
	people = `abel agnesi albattani allen amundsen archimedes aristarchus babbage banneker barents bartik
bell bering bhabha bohr bose boyle brahe brown burnell cabot cannon carson carver cerf chandrasekhar
chebyshev clarke cook copernicus cori cray curie dalton darwin davinci dijkstra dirac drake driscoll earhart
edison einstein elion ellis engelbart euclid euler faraday feistel fermat fermi feynman franklin galileo
galois gama gates gauss germain goldberg goodall gould hamilton haslett hawking heisenberg herschel hertz
hodgkin hopper hudson hugle humboldt hypatia jackson jennings joliot kalam keller kepler khayyam kilby knuth
kowalevski lalande lamarr lamport lavoisier leakey leavitt lewin liskov lovelace lumiere magellan maxwell
mayer mccarthy mcclintock meitner mendel mendeleev meninsky mercator mirzakhani morse moser nansen nash
neumann newton nightingale nobel noether northcutt noyce panini pascal pasteur payne perlman pike poincare
poitras polo ptolemy raman ramanujan ride ritchie robinson rosalind rubin saha sammet shannon shaw shockley
sinoussi snyder spence stonebraker swanson swartz swirles tasman tereshkova tesla thompson torvalds turing
varahamihira villani visvesvaraya volhard wescoff wiles williams wilson wing wozniak wright yalow yonath zheng`
)

// randomName proposes a name; after a few collisions with a number behind it.
func randomName(try int) string {
	a, p := strings.Fields(adjectives), strings.Fields(people)
	name := a[rand.IntN(len(a))] + "_" + p[rand.IntN(len(p))]
	if try > 0 {
		name += strconv.Itoa(rand.IntN(10 << try))
	}
	return name
}
