#include "core/base/command_line.h"

#include <CLI/CLI.hpp>

#include "core/base/build_info.h"
#include "core/base/check.h"

namespace moe {

CommandOption& CommandOption::required() {
  option_->required();
  return *this;
}

CommandOption& CommandOption::capture_default_str() {
  option_->capture_default_str();
  return *this;
}

CommandOption& CommandOption::allow_extra_args(bool allowed) {
  option_->allow_extra_args(allowed);
  return *this;
}

CommandOption& CommandOption::expected(int min, int max) {
  option_->expected(min, max);
  return *this;
}

CommandOption& CommandOption::delimiter(char character) {
  option_->delimiter(character);
  return *this;
}

CommandOption& CommandOption::excludes(const std::string& other) {
  option_->excludes(other);
  return *this;
}

CommandOption& CommandOption::one_of(std::initializer_list<const char*> words) {
  option_->check(CLI::IsMember(std::vector<std::string>(words.begin(), words.end())));
  return *this;
}

CommandOption& CommandOption::positive() {
  option_->check(CLI::PositiveNumber);
  return *this;
}

CommandOption& CommandOption::not_negative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}

CommandOption& CommandOption::between(int64_t min, int64_t max) {
  option_->check(CLI::Range(min, max));
  return *this;
}

// CLI::Range accepts what is no number at all.
CommandOption& CommandOption::between_numbers(double min, double max) {
  option_->check([min, max](const std::string& text) {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= min && value <= max) return std::string();
    return fmt::format("Value {} not in range {} to {}", text, min, max);
  });
  return *this;
}

size_t CommandOption::count() const {
  return option_->count();
}

CommandLine::CommandLine(const std::string& description, const std::string& name)
    : owned_(std::make_shared<CLI::App>(description, name)), app_(owned_.get()) {}

void CommandLine::footer(const std::string& text) {
  app_->footer(text);
}

template <class T>
CommandOption CommandLine::add_option(const std::string& names, T& value, const std::string& help) {
  return CommandOption(app_->add_option(names, value, help));
}
template CommandOption CommandLine::add_option(const std::string&, std::string&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, int&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, int64_t&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, uint64_t&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, double&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, std::vector<std::string>&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, std::vector<int64_t>&, const std::string&);
template CommandOption CommandLine::add_option(const std::string&, std::vector<double>&, const std::string&);

CommandOption CommandLine::add_flag(const std::string& names, bool& value, const std::string& help) {
  return CommandOption(app_->add_flag(names, value, help));
}

CommandLine CommandLine::add_subcommand(const std::string& name, const std::string& help) {
  return CommandLine(app_->add_subcommand(name, help));
}

void CommandLine::require_subcommand() {
  app_->require_subcommand(1);
}

bool CommandLine::parsed() const {
  return app_->parsed();
}

void CommandLine::callback(std::function<void()> body) {
  app_->callback(std::move(body));
}

std::optional<int> CommandLine::parse(int argc, char** argv, bool prints) {
  app_->set_version_flag("--version", version());
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool good = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    if (prints) app_->exit(error);
    return static_cast<int>(good ? ExitCode::done : ExitCode::usage);
  }
  return std::nullopt;
}

bool CommandLine::parse_or_throw(int argc, char** argv) {
  app_->set_version_flag("--version", version());
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      raise<UsageError>("{} ({} --help lists all options)", error.what(), app_->get_name());
    }
    app_->exit(error);  // --help, --version
    return false;
  }
  return true;
}

}  // namespace moe
