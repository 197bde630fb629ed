// The programs' command lines, based on CLI11. Only command_line.cpp includes CLI11: its headers alone take five
// seconds to compile, and each file that uses them compiles the whole parser again.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace moe {

// A handle to an option that its command line owns. The functions correspond to CLI11's.
class CommandOption {
 public:
  explicit CommandOption(CLI::Option* option) : option_(option) {}
  CommandOption& required();
  // --help shows the current value of the variable as the default.
  CommandOption& capture_default_str();
  CommandOption& allow_extra_args(bool allowed);
  CommandOption& expected(int min, int max);
  CommandOption& delimiter(char character);
  CommandOption& excludes(const std::string& other);
  CommandOption& one_of(std::initializer_list<const char*> words);
  CommandOption& positive();
  CommandOption& not_negative();
  CommandOption& between(int64_t min, int64_t max);
  CommandOption& between_numbers(double min, double max);
  // The number of times that the option was given.
  size_t count() const;

 private:
  CLI::Option* option_;
};

// A program's command line, or a handle to one of its subcommands.
class CommandLine {
 public:
  explicit CommandLine(const std::string& description, const std::string& name = "");

  void footer(const std::string& text);
  // T: std::string, int, int64_t, uint64_t, double, or a vector of std::string, int64_t or double (command_line.cpp).
  template <class T>
  CommandOption add_option(const std::string& names, T& value, const std::string& help);
  CommandOption add_flag(const std::string& names, bool& value, const std::string& help);
  CommandLine add_subcommand(const std::string& name, const std::string& help);
  void require_subcommand();
  bool parsed() const;
  // `body` runs after parsing if this subcommand was given.
  void callback(std::function<void()> body);

  // Both handle --help and --version. parse() returns an exit code if the program should end, and prints (including
  // errors of the command line) only if `prints`. parse_or_throw() throws a UsageError for errors, and returns false if
  // the program should end.
  std::optional<int> parse(int argc, char** argv, bool prints);
  bool parse_or_throw(int argc, char** argv);

 private:
  explicit CommandLine(CLI::App* subcommand) : app_(subcommand) {}

  std::shared_ptr<CLI::App> owned_;
  CLI::App* app_;
};

}  // namespace moe
