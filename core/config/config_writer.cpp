#include "core/config/config_writer.h"

#include "core/config/text_visitor.h"

namespace moe {
namespace {

class YamlWriter : public TextVisitor {
 public:
  YamlWriter(std::string& out, bool with_help, Constants constants, int depth)
      : out_(out), with_help_(with_help), constants_(constants), depth_(depth) {}

  void leaf(const char* name, const std::string& value, const char* help, const std::string&) override {
    line(fmt::format("{}: {}", name, value), help);
  }
  void schedule(const char* name, ScheduleField& value, const char* help) override {
    const std::string text = schedule_text(value);
    if (text[0] == '{' || constants_ == Constants::as_schedules) return choice(name, value, help);
    line(fmt::format("{}: {}", name, text), help);
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    line(fmt::format("{}:", name), help);
    YamlWriter inner(out_, with_help_, constants_, depth_ + 1);
    group.fields(inner);
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    line(fmt::format("{}:", name), help);
    YamlWriter inner(out_, with_help_, constants_, depth_ + 1);
    inner.line("kind: " + choice.kind(), choice.help_of(choice.kind()).c_str());
    choice.options().fields(inner);
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    if (choices.size() == 0) return line(fmt::format("{}: []", name), help);
    line(fmt::format("{}:", name), help);
    for (size_t i = 0; i < choices.size(); ++i) {
      YamlWriter inner(out_, with_help_, constants_, depth_ + 2);
      line_at(depth_ + 1, "- kind: " + choices.at(i).kind(), choices.at(i).help_of(choices.at(i).kind()).c_str());
      choices.at(i).options().fields(inner);
    }
  }

 private:
  void line(const std::string& text, const char* help) { line_at(depth_, text, help); }
  void line_at(int depth, const std::string& text, const char* help) {
    std::string row(static_cast<size_t>(2 * depth), ' ');
    row += text;
    if (with_help_ && *help) row = fmt::format("{:<40} # {}", row, help);
    out_ += row + "\n";
  }

  std::string& out_;
  bool with_help_;
  Constants constants_;
  int depth_;
};

}  // namespace

std::string write_yaml(FieldSet& config, bool with_help, Constants constants) {
  std::string out;
  YamlWriter writer(out, with_help, constants, 0);
  config.fields(writer);
  return out;
}

std::string options_text(const ChoiceBase& choice) {
  class Options : public TextVisitor {
   public:
    std::vector<std::string> texts;

   private:
    void leaf(const char* name, const std::string& value, const char*, const std::string&) override {
      texts.push_back(fmt::format("{} {}", name, value));
    }
    void schedule(const char* name, ScheduleField& value, const char*) override {
      texts.push_back(fmt::format("{} {}", name, schedule_text(value)));
    }
    void group(const char*, FieldSet&, const char*) override {}
    void choice(const char*, ChoiceBase&, const char*) override {}
    void choices(const char*, ChoiceListBase&, const char*) override {}
  } visitor;
  ChoiceBase copy = choice;
  copy.options().fields(visitor);
  return visitor.texts.empty() ? choice.kind() : fmt::format("{} ({})", choice.kind(), join(visitor.texts, ", "));
}

}  // namespace moe
