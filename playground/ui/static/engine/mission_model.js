// The model that the playground was made for. Where another one answers, the page says so.

const missionModel = 'ContextualAI/Contextual_KTO_Mistral_PairRM';

export const isMissionModel = (id) => id === missionModel;
