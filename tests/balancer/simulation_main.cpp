// Prints the table of docs/STRATEGIES.md.
#include "tests/balancer/simulation.hpp"

#include <cstdio>

int main() { return std::fputs(drover::test::simulation_table().c_str(), stdout) < 0 ? 1 : 0; }
