# tests.mk - the tests of the whole store, each with the arguments of a quick run (`make check`) and of a long one.
# Without arguments each does its quick run; each prints its SEED, and runs again with SEED=n in the environment.
#
#   program              quick (s)   longer
#   model/model          5           model SEEDS OPERATIONS
#   model/differential   2           differential SEEDS STATEMENTS       needs txkv.so (TXKV_SO=path)
#   stress/stress        4           stress SECONDS
#   crash/kill9          10          kill9 ROUNDS [SEED]                 needs txkv.so (TXKV_SO=path)
#   fault/fault          20          fault all
#   fault/damage         5           damage STORES CASES
SYSTEM_TESTS := model/model model/differential stress/stress crash/kill9 fault/fault fault/damage
