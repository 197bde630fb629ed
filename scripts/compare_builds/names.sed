# Names of records before -> after (docs/CHANGES.md), applied to what the base wrote.
s/"type":"life"/"type":"lifecycle"/
s/"paced":/"scheduled":/
s/"dropped":\[/"dropped_load":[/
s/"drop":/"dropped":/
s/"agreement":/"topk_overlap":/
s/"distilled_agreement":/"distilled_topk_overlap":/
