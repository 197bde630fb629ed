// A JSON schema of the configuration, for editors. Each family is defined once and referenced by all keys that choose
// from it.
#include <algorithm>

#include "core/base/json_text.h"
#include "core/config/config_writer.h"
#include "core/config/schedule_field.h"

namespace moe {
namespace {

class SchemaWriter : public FieldVisitor {
 public:
  SchemaWriter(Json& properties, Json& definitions) : properties_(properties), definitions_(definitions) {}

  void field(const char* name, bool& value, const char* help) override {
    properties_[name] = {{"type", "boolean"}, {"default", value}, {"description", help}};
  }
  void field(const char* name, int64_t& value, const char* help, Range<int64_t> range) override {
    properties_[name] = with_range({{"type", "integer"}, {"default", value}, {"description", help}}, range);
  }
  void field(const char* name, double& value, const char* help, Range<double> range) override {
    properties_[name] = with_range({{"type", "number"}, {"default", value}, {"description", help}}, range);
  }
  void field(const char* name, Duration& value, const char* help, Lengths) override {
    properties_[name] = {{"type", {"string", "number"}}, {"default", value.to_string()}, {"description", help}};
  }
  void field(const char* name, std::string& value, const char* help) override {
    properties_[name] = {{"type", "string"}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::string& value, const char* help, std::vector<std::string> allowed) override {
    properties_[name] = {{"enum", allowed}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::vector<std::string>& value, const char* help) override {
    properties_[name] = {
        {"type", {"array", "string"}}, {"items", {{"type", "string"}}}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::vector<int64_t>& value, const char* help) override {
    properties_[name] = {
        {"type", "array"}, {"items", {{"type", "integer"}}}, {"default", value}, {"description", help}};
  }
  void field(const char* name, std::vector<double>& value, const char* help) override {
    properties_[name] = {{"type", "array"}, {"items", {{"type", "number"}}}, {"default", value}, {"description", help}};
  }
  void schedule(const char* name, ScheduleField& value, const char* help) override {
    Json number = with_range({{"type", "number"}}, value.range());
    properties_[name] = {{"anyOf", {number, reference(value)}}, {"description", help}};
  }
  void overrides(const char* name, LayerOverrides&, const char* help) override {
    const Json item = {{"type", "object"}, {"required", {"at"}}};
    properties_[name] = {{"type", "array"}, {"items", item}, {"description", help}};
  }
  void group(const char* name, FieldSet& group, const char* help) override {
    properties_[name] = object(group, definitions_);
    if (group.clone()->set_switch(true)) {
      const Json keys = properties_[name], boolean = {{"type", "boolean"}};
      properties_[name] = {{"anyOf", {boolean, keys}}};
    }
    properties_[name]["description"] = help;
  }
  void choice(const char* name, ChoiceBase& choice, const char* help) override {
    properties_[name] = reference(choice);
    if (const NumberShorthand shorthand = choice.number_shorthand(); shorthand.kind) {
      ChoiceBase member = choice;
      member.select(shorthand.kind);
      const Json number = object(member.options(), definitions_)["properties"][shorthand.field]["anyOf"][0];
      properties_[name] = {{"anyOf", {number, reference(choice)}}};
    }
    properties_[name]["default"] = choice.kind();
    properties_[name]["description"] = help;
  }
  void choices(const char* name, ChoiceListBase& choices, const char* help) override {
    properties_[name] = {{"type", "array"}, {"items", reference(choices.example())}, {"description", help}};
  }

  static Json object(FieldSet& set, Json& definitions) {
    Json properties = Json::object();
    SchemaWriter writer(properties, definitions);
    set.fields(writer);
    return {{"type", "object"}, {"additionalProperties", false}, {"properties", properties}};
  }

 private:
  template <class T>
  static Json with_range(Json schema, const Range<T>& range) {
    if (range.has_min()) schema["minimum"] = range.min;
    if (range.has_max()) schema["maximum"] = range.max;
    return schema;
  }

  // A reference to the family's definition, which is written at its first use.
  Json reference(const ChoiceBase& choice) {
    std::string name = choice.family_name();
    std::replace(name.begin(), name.end(), ' ', '_');
    if (!definitions_.contains(name)) {
      definitions_[name] = nullptr;  // reserves the name: a member may contain a choice of the same family
      definitions_[name] = members(choice);
    }
    return {{"$ref", "#/$defs/" + name}};
  }
  Json members(ChoiceBase choice) {
    Json any = {{{"enum", choice.kinds()}}};
    for (const std::string& kind : choice.kinds()) {
      choice.select(kind);
      Json options = object(choice.options(), definitions_);
      options["properties"]["kind"] = {{"const", kind}, {"description", choice.help_of(kind)}};
      any.push_back(options);
    }
    return {{"anyOf", any}};
  }

  Json& properties_;
  Json& definitions_;  // definitions of families, by name
};

}  // namespace

std::string write_json_schema(FieldSet& config) {
  Json definitions = Json::object();
  Json schema = SchemaWriter::object(config, definitions);
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "moe-train configuration";
  schema["$defs"] = definitions;
  return json_text(schema, 2) + "\n";
}

}  // namespace moe
