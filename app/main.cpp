// drover's command line; everything is in command_line.cpp.
#include "app/command_line.hpp"

int main(int argc, char** argv) { return drover::app::CommandLine().run(argc, argv); }
